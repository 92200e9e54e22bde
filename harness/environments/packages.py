"""Packages beside an environment: what a lock names, in a folder of its own that is put on the path of one program."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from harness.environments import uv
from harness.environments.making import alone
from harness.errors import HarnessError
from harness.paths import home


def provide(lock: Path, python: Path, python_version: str) -> Path:
    """A folder that holds exactly the packages of a lock file, made if it is not there yet.

    Their dependencies are not followed: the lock, or the environment beside which they stand, names all. Raises
    HarnessError if they cannot be had.
    """
    minor = ".".join(python_version.split(".")[:2])
    digest = hashlib.sha256(lock.read_bytes() + minor.encode()).hexdigest()[:12]
    folder = home() / "packages" / f"{lock.stem}-{digest}"
    with alone(f"packages-{digest}"):
        if folder.is_dir():
            return folder
        making = folder.with_name(f".making-{folder.name}.{os.getpid()}")
        try:
            answer = uv.call(
                *("pip", "install", "--no-deps", "--require-hashes", "--no-build", "--python", python),
                *("--target", making, "-r", lock),
            )
            if not answer.ok:
                raise HarnessError(f"{lock.name}: {uv.meaning(answer.output, minor)}", "It is needed beside the rest.")
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder
