"""Run a program to its end, all that it prints in one text, and leave no child of it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """code: negative for a signal, None where the time was over. printed: standard output and error together."""

    code: int | None
    printed: str

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.code is None:
            return "did not end in time"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"ended with code {self.code}"


def run(command: Sequence[str | Path], folder: Path, variables: Mapping[str, str], timeout: float) -> Ended:
    """Run a command in a folder, for at most `timeout` seconds."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=timeout)
        return Ended(process.returncode, printed)
    except subprocess.TimeoutExpired:
        _kill(process)
        printed, _ = process.communicate()
        return Ended(None, printed)
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
