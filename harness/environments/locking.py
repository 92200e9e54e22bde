"""Write lock files: every package with its version and hashes, and nothing that names a place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.environments import uv
from harness.environments.making import EnvironmentFailed

#: Where the wheels of cuda locks must exist, whatever machine the lock is made on.
_CUDA_PLATFORM = "x86_64-unknown-linux-gnu"

_COMPILE = (
    "pip", "compile", "--universal", "--generate-hashes", "--no-build", "--no-header", "--no-annotate",
    "--no-emit-index-url", "--no-emit-find-links", "--quiet",
)  # fmt: skip


def lock(adapter: AdapterSpec, spec: EnvironmentSpec, file: Path, upgrade: bool = False) -> bool:
    """Resolve the requirements of a lock file anew and replace it in one step; whether it changed.

    Pins that still fit are kept unless `upgrade`. Raises EnvironmentFailed where the requirements cannot be resolved,
    or the wheels are not there for every Python of the environment; the old file then stays.
    """
    before = file.read_text() if file.is_file() else ""
    with tempfile.TemporaryDirectory(prefix="harness-lock-") as scratch:
        text = _compile(spec, file, "" if upgrade else before, Path(scratch))
        if spec.device == "cuda":
            _dry_run(spec, text, Path(scratch))
    if text != before:
        _replace(file, text)
    return text != before


def _compile(spec: EnvironmentSpec, file: Path, before: str, scratch: Path) -> str:
    wanted, output = scratch / "requirements.in", scratch / "lock.txt"
    requirements = spec.requirements(file)
    wanted.write_text("\n".join(requirements) + "\n")
    output.write_text(before)
    oldest = min(spec.python, key=lambda version: tuple(map(int, version.split("."))))
    # Only a lock of its own requirements is about what this machine offers; all others are about the public index.
    places = {} if file.name in spec.install_for else {"UV_FIND_LINKS": ""}
    answer = uv.call(*_COMPILE, "--python-version", oldest, wanted, "--output-file", output, extra=places)
    if not answer.ok:
        raise EnvironmentFailed(f"{file.name}: {uv.meaning(answer.output, oldest)}", answer.output.strip())
    header = f"# Made by `harness env lock` for Python {oldest} and newer from: {', '.join(requirements)}\n"
    return header + without_places(output.read_text(), file)


def without_places(text: str, file: Path) -> str:
    """A lock's text without options and comments. Raises EnvironmentFailed if a package is pinned to an address."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("--", "#"))]
    for line in lines:
        if "://" in line or " @ " in line:
            raise EnvironmentFailed(f"{file.name}: pinned to an address: {line.strip()[:80]}")
    return "\n".join(lines) + "\n"


def _dry_run(spec: EnvironmentSpec, text: str, scratch: Path) -> None:
    """See that every Python of the list finds a wheel of every package. Installs nothing."""
    pinned = scratch / "pinned.txt"
    pinned.write_text(text)
    for python in spec.python:
        answer = uv.call(
            "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--no-build", "--quiet",
            "--python-version", python, "--python-platform", _CUDA_PLATFORM,
            "--target", scratch / "target", "--requirements", pinned,
        )  # fmt: skip
        if not answer.ok:
            raise EnvironmentFailed(f"Python {python}: {uv.meaning(answer.output, python)}", answer.output.strip())


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
