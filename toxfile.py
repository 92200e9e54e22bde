"""Skips what this machine cannot run: cuda environments without an NVIDIA GPU, adapters whose Python is not here.

A skipped environment is reported as skipped, with its reason, and never as passed.
"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.errors import Skip

ADAPTERS = Path(__file__).parent / "adapters"


@impl
def tox_on_install(tox_env: ToxEnv, arguments: object, section: str, of_type: str) -> None:
    adapter, _, device = tox_env.name.rpartition("-")
    if device not in ("cpu", "cuda") or not (ADAPTERS / adapter / "adapter.toml").is_file():
        return
    if device not in _devices(adapter):
        raise Skip(f"{adapter} has no environment for {device}: there is nothing to test")
    if device == "cuda" and not _gpu_present():
        raise Skip("no NVIDIA GPU on this machine: nothing was tested")
    lacking = _lacking_python(adapter, device)
    if lacking:
        raise Skip(f"{adapter} needs Python {lacking}, and there is none on this machine: nothing was tested")


def _described(adapter: str) -> list[dict]:
    """The environments of an adapter, as its adapter.toml describes them."""
    return list(tomllib.loads((ADAPTERS / adapter / "adapter.toml").read_text())["environments"].values())


def _devices(adapter: str) -> set[str]:
    return {environment["device"] for environment in _described(adapter)}


def _gpu_present() -> bool:
    """Whether NVIDIA's driver shows a device (a file of it, for tox itself holds no library that could ask)."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def _lacking_python(adapter: str, device: str) -> str:
    """The Python versions that an adapter's environment could use, if none of them is here; "" if one is."""
    for environment in _described(adapter):
        if environment["device"] == device and not any(map(_python_present, environment["python"])):
            return " or ".join(environment["python"])
    return ""


def _python_present(version: str) -> bool:
    if any(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        return True
    from uv import find_uv_bin  # of tox-uv, which tox.ini requires: it is not there yet when tox first reads this file

    command = [find_uv_bin(), "python", "find", "--no-python-downloads", "--no-project", version]
    return subprocess.run(command, capture_output=True).returncode == 0
