"""Getting started with a framework: what has to be downloaded and installed, and where it can be had."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.ease import index
from harness.ease.metrics import Row, row
from harness.environments import Environment, uv
from harness.environments.making import sync
from harness.live import Site
from harness.paths import home

#: What other packages of a user depend on as well, and so must not be held back by a framework.
SHARED = ("numpy", "protobuf")

#: The oldest minor version of CPython 3 that is asked about: the oldest that the kit runs on.
_OLDEST = 7

_GIVEN = "the interpreter was given: nothing was installed from a lock"


def of_environment(site: Site) -> Iterator[Row]:
    """Packages, bytes and seconds of an environment, as measured when it was made and first started."""
    environment = site.environment
    source = f"environment {environment.name}"
    yield row(site.adapter, "packages", len(environment.packages), source, environment.name)
    yield row(site.adapter, "bytes_on_disk", environment.bytes_on_disk, source, environment.name)
    yield row(site.adapter, "import", site.hello["import_ns"] / 1e9, source, environment.name)


def of_installation(adapter: AdapterSpec, environment: Environment) -> Iterator[Row]:
    """What has to be installed, how long that takes, where it could be done, and what it forces on other packages.

    Asks the package index, and installs everything twice more. Without a network the rows have no value.
    """
    yield from _download(adapter, environment)
    yield from _wheels(adapter, environment)
    yield from _pins(adapter, environment)


# Download and installation -------------------------------------------------------------------------------------------


def _download(adapter: AdapterSpec, environment: Environment) -> Iterator[Row]:
    """What is downloaded, and the seconds to do so and to install it."""
    wheels, problem = _locked_wheels(adapter, environment)
    size = None if problem else sum(wheel.bytes or 0 for wheel in wheels)
    told = problem or f"{len(wheels)} wheels of {environment.lock} for Python {minor(environment)}; {_largest(wheels)}"
    here = _from_disk(wheels)
    yield row(adapter.name, "download_bytes", size, told + here, environment.name)
    cold, warm, told = _install_seconds(adapter, environment)
    yield row(adapter.name, "install_cold", cold, told + (here if cold is not None else ""), environment.name)
    yield row(adapter.name, "install_warm", warm, told, environment.name)


def _locked_wheels(adapter: AdapterSpec, environment: Environment) -> tuple[list[index.Wheel], str]:
    """The wheels of an environment's lock that this platform takes; or none, and why they are not known."""
    if environment.lock is None:
        return [], _GIVEN
    text = (adapter.folder / environment.lock).read_text(encoding="utf-8")
    python = minor(environment)
    found = index.resolve([text], python, dependencies=False)
    wheels = []
    for package in found.everything:
        wheel = index.best((wheel for wheel in package.wheels if wheel.sha256 in text), python)
        if wheel is None or wheel.bytes is None:
            return [], f"{package.name}=={package.version}: the size of the locked wheel is not stated"
        wheels.append(wheel)
    return wheels, found.problem


def _largest(wheels: list[index.Wheel]) -> str:
    ordered = sorted(wheels, key=lambda wheel: wheel.bytes or 0, reverse=True)[:3]
    return "largest: " + ", ".join(f"{wheel.release}: {wheel.bytes}" for wheel in ordered)


def _from_disk(wheels: list[index.Wheel]) -> str:
    """What is not downloaded, because it lies here."""
    found = ", ".join(wheel.release for wheel in wheels if wheel.local)
    return f"; from a folder of this machine: {found}" if found else ""


def _install_seconds(adapter: AdapterSpec, environment: Environment) -> tuple[float | None, float | None, str]:
    """Seconds with an empty cache, seconds with the cache that this filled (the lesser of two), how they were had."""
    if environment.lock is None:
        return None, None, _GIVEN
    interpreter = uv.interpreters().get(minor(environment))
    if interpreter is None:
        return None, None, f"no Python {minor(environment)} to install for"
    # Where environments lie: a cache on another disk could not be linked to.
    home().mkdir(parents=True, exist_ok=True)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=home()) as scratch:
        cache = {"UV_CACHE_DIR": str(Path(scratch) / "cache")}
        folder = Path(scratch) / "environment"
        for _ in ("cold", "warm", "warm again"):
            shutil.rmtree(folder, ignore_errors=True)
            begin = time.perf_counter()
            answer = sync(interpreter, folder, adapter.folder / environment.lock, extra=cache)
            seconds.append(time.perf_counter() - begin)
            if not answer.ok:
                return None, None, uv.meaning(answer.output, interpreter.minor)
    installed = re.search(r"Installed (\d+) packages?", answer.output)
    count = f"{installed[1]} packages of " if installed else ""
    return seconds[0], min(seconds[1:]), f"{count}{environment.lock}, uv {uv.version()}, Python {interpreter.version}"


# Where it can be had -------------------------------------------------------------------------------------------------


def _wheels(adapter: AdapterSpec, environment: Environment) -> Iterator[Row]:
    spec = environment_spec(adapter, environment)
    package, version = framework(adapter, environment)
    supported: list[str] = []
    for python in python_versions():
        found = index.resolve(_essentials(adapter, environment), python)
        if not found.answered:
            yield row(adapter.name, "interpreters", None, found.problem, environment.name)
            yield row(adapter.name, "platforms", None, found.problem, environment.name)
            return
        if not found.problem:
            supported.append(python)
    what = f"{package} {version} with all that it needs, on this platform"
    yield row(
        adapter.name, "interpreters", len(supported), f"{', '.join(supported) or 'none'}: {what}", environment.name
    )
    oldest = supported[0] if supported else minor(environment)
    names = _variants(adapter, spec, package)
    wheels: list[index.Wheel] = []
    for name in names:
        found = index.resolve([f"{name}=={version}"], oldest, dependencies=False, everywhere=True)
        if found.problem:
            yield row(adapter.name, "platforms", None, f"{name}: {found.problem}", environment.name)
            return
        wheels += [wheel for one in found.everything for wheel in one.wheels]
    offered = index.platforms(wheels)
    of_what = f"{' and '.join(names)} {version}, Python {oldest} and newer"
    yield row(adapter.name, "platforms", len(offered), f"{', '.join(offered)}: {of_what}", environment.name)


def _variants(adapter: AdapterSpec, spec: EnvironmentSpec, package: str) -> list[str]:
    """The framework's package, and those that stand in for it on other platforms: with a marker in `install`."""
    named = [Requirement(text) for text in spec.install]
    others = [one.name for one in named if one.marker is not None and adapter.owns(one.name)]
    return list(dict.fromkeys([package, *others]))


def python_versions() -> list[str]:
    """Minor versions of CPython, from the oldest that the kit runs on to the newest release that uv knows."""
    answer = uv.call("python", "list", "--only-downloads", "--output-format", "json")
    known = re.findall(r'"version": ?"3\.(\d+)\.\d+"', answer.output)
    known = known or [version.split(".")[1] for version in uv.interpreters()]
    return [f"3.{number}" for number in range(_OLDEST, max(map(int, known), default=_OLDEST) + 1)]


# What it forces on others --------------------------------------------------------------------------------------------


def _pins(adapter: AdapterSpec, environment: Environment) -> Iterator[Row]:
    python = minor(environment)
    for package in SHARED:
        value, source = _pin(_essentials(adapter, environment), package, python)
        spec = environment_spec(adapter, environment)
        first = adapter.environment(spec.device).name == spec.name
        yield row(adapter.name, "pins", value, source, package if first else f"{package}, {spec.name}")


def _pin(essentials: list[str], package: str, python: str) -> tuple[int | None, str]:
    without = index.resolve([package], python, dependencies=False)
    beside = index.resolve([*essentials, package], python)
    for found in (without, beside):
        if found.problem:
            return None, found.problem
    newest, taken = (found.packages[package].version for found in (without, beside))
    held = Version(taken) < Version(newest)
    told = f"{taken} with it, {newest} without, on Python {python}" if held else f"{taken} on Python {python}"
    return int(held), f"{package} {told}"


# Reading an environment ----------------------------------------------------------------------------------------------


def minor(environment: Environment) -> str:
    """The minor version of an environment's Python: 3.11."""
    return uv.minor(environment.python_version)


def environment_spec(adapter: AdapterSpec, environment: Environment) -> EnvironmentSpec:
    """How an environment is described; for a given interpreter, how the one that it stands for is."""
    named = [spec for spec in adapter.environments if spec.name == environment.name]
    return named[0] if named else adapter.environment(environment.device)


def framework(adapter: AdapterSpec, environment: Environment) -> tuple[str, str]:
    """The distribution that is the framework in an environment, and its public version."""
    versions = {str(canonicalize_name(name)): version for name, version in environment.packages.items()}
    names = (canonicalize_name(name) for name in adapter.packages)
    package = next(name for name in names if name in versions)
    return package, index.public(versions[package])


def _essentials(adapter: AdapterSpec, environment: Environment) -> list[str]:
    """What a user must ask for to have the framework in the version of an environment."""
    package, version = framework(adapter, environment)
    asked = adapter.essentials(environment_spec(adapter, environment))
    return [f"{package}=={version}", *(text for text in asked if not adapter.owns(Requirement(text).name))]
