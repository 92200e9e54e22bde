"""How alive a framework is: its dates, Pythons and licence, read from package metadata and the package index."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from harness.adapters import AdapterSpec, all_adapters
from harness.ease import index
from harness.ease.metrics import Row, row
from harness.ease.starting import framework, minor, python_versions
from harness.environments import Environment

#: Runs in the environment's interpreter, Python 3.7 and later: headers of one distribution's metadata.
_SCRIPT = """
import email, json, os, re, sys
wanted = sys.argv[1]
for folder in sys.path:
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        file = os.path.join(folder, entry, "METADATA" if entry.endswith(".dist-info") else "PKG-INFO")
        if entry.endswith((".dist-info", ".egg-info")) and os.path.isfile(file):
            with open(file, encoding="utf-8", errors="replace") as text:
                headers = email.message_from_file(text)
            if re.sub("[-_.]+", "-", headers["Name"] or "").lower() == wanted:
                print(json.dumps([[name, str(value)] for name, value in headers.items()]))
                sys.exit()
print("[]")
"""

#: Longer ones are whole texts of licences.
_LONGEST = 120


def of(adapter: AdapterSpec, environment: Environment, today: date) -> Iterator[Row]:
    """Age of the release in use and of the newest one, required Python, licence and lineage."""
    package, version = framework(adapter, environment)
    python, what = minor(environment), f"{package} {version}"
    headers = metadata(environment.python, package)
    figures = {
        "release_age": _age(package, version, python, today),
        "newest_release_age": _newest_age(adapter, package, version, python, today),
        "requires_python": _required(headers, what),
        "licence": _licence(headers, what),
    }
    for metric, (value, source) in figures.items():
        yield row(adapter.name, metric, value, source, environment.name)
    lineage = adapter.lineage
    told = f"{lineage.origin}, {lineage.by}, {lineage.status}"
    told += f", successor: {lineage.successor}" if lineage.successor else ""
    yield row(adapter.name, "first_release", lineage.first_release, told)


def metadata(python: Path, package: str) -> list[tuple[str, str]]:
    """The headers of a distribution's metadata, asked of an environment's interpreter; none where it has none."""
    command = [str(python), "-I", "-c", _SCRIPT, package]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return [(name, value) for name, value in json.loads(ended.stdout)]
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return []


def _age(package: str, version: str, python: str, today: date) -> tuple[int | None, str]:
    """Days since the first upload of a version, whichever of its builds that was."""
    found = index.resolve([f"{package}=={version}"], python, dependencies=False, everywhere=True)
    if found.problem:
        return None, found.problem
    day = min((day for build in found.everything if (day := index.released(build))), default=None)
    if day is None:
        return None, f"the package index does not say when {package} {version} was uploaded"
    return (today - day).days, f"{package} {version}, uploaded on {day}"


def _newest_age(adapter: AdapterSpec, package: str, version: str, python: str, today: date) -> tuple[int | None, str]:
    if (owner := _owner(adapter, package)) is not None:
        others = f"{package} is {owner.title}'s package: its newer releases say nothing of {adapter.title}"
        if adapter.lineage.status != "retired":
            return None, others
        days, source = _age(package, version, python, today)
        return days, f"{source}; {others}"
    newest: tuple[Version, str] | None = None
    problem = ""
    for python in python_versions():
        found = index.resolve([package], python, dependencies=False, stable=True)
        if not found.answered:
            return None, found.problem
        if found.problem:
            problem = found.problem
            continue
        release = Version(index.public(found.packages[package].version))
        if newest is None or release > newest[0]:
            newest = release, python
    if newest is None:
        return None, problem
    return _age(package, str(newest[0]), newest[1], today)


def _owner(adapter: AdapterSpec, package: str) -> AdapterSpec | None:
    """Another adapter after whose framework a package is called, where this one's only lives in it."""
    if adapter.module == package:
        return None
    others = (other for other in all_adapters().values() if other.name != adapter.name)
    return next((other for other in others if other.module == package and package in other.packages), None)


def _required(headers: list[tuple[str, str]], what: str) -> tuple[int | None, str]:
    stated = next((value for name, value in headers if name.lower() == "requires-python"), "")
    if not stated:
        return None, f"{what} states no Requires-Python"
    try:
        specifiers = SpecifierSet(stated)
    except InvalidSpecifier:
        return None, f"{what}: Requires-Python {stated}"
    # A bound such as >=3.6.2 lets in a later patch of that minor version.
    least = next((number for number in range(50) if any(map(specifiers.contains, _patches(number)))), None)
    return least, f"{what}: Requires-Python {stated}"


def _patches(number: int) -> list[str]:
    return [f"3.{number}.{patch}" for patch in range(30)]


def _licence(headers: list[tuple[str, str]], what: str) -> tuple[int, str]:
    for wanted in ("license-expression", "license"):
        for name, value in headers:
            text = " ".join(value.split())
            if name.lower() == wanted and text and text != "UNKNOWN" and len(text) <= _LONGEST:
                return 1, f"{what}: {text}"
    classifiers = [value for name, value in headers if name.lower() == "classifier"]
    named = [match[1] for value in classifiers if (match := re.fullmatch(r"License ::(?:.* ::)? ?(.+)", value))]
    return (1, f"{what}: {', '.join(named)}") if named else (0, f"{what} names no licence in its metadata")
