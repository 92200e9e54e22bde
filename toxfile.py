"""Skips the cuda environments of the matrix where there is no NVIDIA GPU: skipped, and so not counted as passed."""

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.errors import Skip


@impl
def tox_on_install(tox_env: ToxEnv, arguments: object, section: str, of_type: str) -> None:
    if tox_env.name.endswith("-cuda") and not _gpu_present():
        raise Skip("no NVIDIA GPU on this machine: nothing was tested")


def _gpu_present() -> bool:
    """Whether NVIDIA's driver shows a device; asked of the driver's files, since tox itself installs nothing."""
    from pathlib import Path

    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
