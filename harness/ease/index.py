"""What the package index knows, asked of uv's resolver: which versions fit together; sizes and dates of wheels.

The answers hold file names, numbers and dates; no address of an index, no folder of this machine.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging import tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from harness.environments import uv

_COMPILE = ("pip", "compile", "--no-build", "--no-header", "--quiet", "--format", "pylock.toml")


@dataclass(frozen=True)
class Wheel:
    """A wheel that is offered. bytes: None where the index does not say. uploaded: None for one on this disk."""

    file: str
    bytes: int | None
    uploaded: date | None
    sha256: str
    local: bool

    @property
    def release(self) -> str:
        """Name and version: torch 2.13.0+cpu."""
        name, version, _, _ = parse_wheel_filename(self.file)
        return f"{name} {version}"


@dataclass(frozen=True)
class Package:
    """A version that the resolver took, and its wheels."""

    name: str
    version: str
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True)
class Resolution:
    """What the resolver said. packages: by name; of several versions of one, for several platforms, the first.

    problem: why there is no solution or no answer, in a few words; "" where all is well. output: all that it said then.
    """

    everything: tuple[Package, ...] = ()
    problem: str = ""
    output: str = ""

    @property
    def packages(self) -> Mapping[str, Package]:
        return {package.name: package for package in reversed(self.everything)}

    @property
    def answered(self) -> bool:
        """Whether it could be asked: that there is no solution is an answer, a missing network is none."""
        return not self.problem or ("No solution found" in self.output and "network was disabled" not in self.output)


def resolve(
    requirements: Iterable[str], python: str, dependencies: bool = True, everywhere: bool = False, stable: bool = False
) -> Resolution:
    """Ask the resolver for the newest versions that have wheels. Never raises for what uv says.

    python: a minor version. everywhere: for all platforms, and that Python and newer ones; else for this platform.
    stable: no pre-releases, not even where there is nothing else.
    """
    options = (["--universal"] if everywhere else []) + ([] if dependencies else ["--no-deps"])
    options += ["--prerelease", "disallow"] if stable else []
    with tempfile.TemporaryDirectory(prefix="harness-index-") as scratch:
        wanted, output = Path(scratch) / "requirements.in", Path(scratch) / "pylock.toml"
        wanted.write_text("\n".join(requirements) + "\n")
        places = ("--python-version", python, wanted, "--output-file", output)
        answer = uv.call(*_COMPILE, *options, *places, extra={"UV_HTTP_RETRIES": _retries()})
        if not answer.ok:
            return Resolution(problem=uv.meaning(answer.output, python), output=answer.output)
        found = tomllib.loads(output.read_text()).get("packages", [])
        return Resolution(tuple(_package(entry, output.parent) for entry in found))


def _retries() -> str:
    """uv's own three take ten seconds for each question where there is no network."""
    return os.environ.get("UV_HTTP_RETRIES", "1")


def _package(entry: dict[str, Any], folder: Path) -> Package:
    wheels = tuple(_wheel(wheel, folder) for wheel in entry.get("wheels", []))
    return Package(entry["name"], entry.get("version", ""), wheels)


def _wheel(entry: dict[str, Any], folder: Path) -> Wheel:
    place = urlsplit(entry.get("url", ""))
    path = folder / entry["path"] if "path" in entry else Path(unquote(place.path))
    local = "path" in entry or place.scheme == "file"
    size = entry.get("size")
    if size is None and local and path.is_file():
        size = path.stat().st_size
    uploaded = entry.get("upload-time")
    return Wheel(
        file=entry.get("name") or path.name,
        bytes=size,
        uploaded=uploaded.astimezone(UTC).date() if isinstance(uploaded, datetime) else None,
        sha256=entry.get("hashes", {}).get("sha256", ""),
        local=local,
    )


def best(wheels: Iterable[Wheel], python: str) -> Wheel | None:
    """The wheel that an installer takes for a Python on this platform: that of the first tag."""
    version = tuple(map(int, python.split(".")))
    mine = [*tags.cpython_tags(version), *tags.compatible_tags(version, f"cp{python.replace('.', '')}")]
    order = {tag: place for place, tag in reversed(list(enumerate(mine)))}
    ranked = [
        (min(order[tag] for tag in found), wheel)
        for wheel in wheels
        if (found := parse_wheel_filename(wheel.file)[3] & order.keys())
    ]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


#: Platform tags as a regular expression, and what they mean.
_PLATFORMS = (
    (r"(?:many)?linux.*?_(x86_64|i686|aarch64|armv7l|ppc64le|ppc64|s390x|riscv64)", "Linux {0}"),
    (r"musllinux.*?_(x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64)", "Linux {0} (musl)"),
    (r"macosx_\d+_\d+_(x86_64|arm64)", "macOS {0}"),
    (r"win_amd64", "Windows x86_64"),
    (r"win_arm64", "Windows arm64"),
    (r"win32", "Windows i686"),
)  # fmt: skip

#: What a wheel of pure Python runs on, of all that counts here.
_ANY = ("Linux aarch64", "Linux x86_64", "Windows arm64", "Windows x86_64", "macOS arm64", "macOS x86_64")


def platforms(wheels: Iterable[Wheel]) -> list[str]:
    """Operating systems and processors that wheels are for, by the tags of their names."""
    found: set[str] = set()
    for wheel in wheels:
        for tag in parse_wheel_filename(wheel.file)[3]:
            found.update(_platform(tag.platform))
    return sorted(found)


def _platform(tag: str) -> Iterable[str]:
    if tag == "any":
        return _ANY
    if tag.startswith("macosx") and tag.endswith("universal2"):
        return ("macOS arm64", "macOS x86_64")
    for pattern, words in _PLATFORMS:
        if match := re.fullmatch(pattern, tag):
            return (words.format(*match.groups()),)
    return (tag,)


def released(package: Package) -> date | None:
    """The day on which a version came out: that of its first upload. None where the index does not say."""
    return min((wheel.uploaded for wheel in package.wheels if wheel.uploaded), default=None)


def public(version: str) -> str:
    """A version without its local part: 2.13.0 for 2.13.0+cpu, which is the same release."""
    return Version(version).public
