"""Packages beside an environment: what a lock names, in a folder of its own that is put on the path of one program."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.environments import uv
from harness.errors import HarnessError
from harness.folders import make_whole
from harness.paths import home


def provide(lock: Path, python: Path, python_version: str) -> Path:
    """A folder that holds exactly the packages of a lock file, made if it is not there yet.

    Their dependencies are not followed: the lock, or the environment beside which they stand, names all. Raises
    HarnessError if they cannot be had.
    """
    minor = uv.minor(python_version)
    digest = hashlib.sha256(lock.read_bytes() + minor.encode()).hexdigest()[:12]

    def install(folder: Path) -> None:
        answer = uv.call(
            *("pip", "install", "--no-deps", "--require-hashes", "--no-build", "--python", python),
            *("--target", folder, "-r", lock),
        )
        if not answer.ok:
            raise HarnessError(f"{lock.name}: {uv.meaning(answer.output, minor)}", "It is needed beside the rest.")

    return make_whole(home() / "packages" / f"{lock.stem}-{digest}", install)
