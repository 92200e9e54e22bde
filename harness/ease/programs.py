"""Run a framework's Rosetta programs in its environment and judge what they computed.

A program is `rosetta/TASK.py` in the adapter's folder. Beside it may stand `TASK.lock`: packages that it needs beyond
those of the framework's environment. What a framework cannot do ends with `sys.exit("cannot: why")`.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.ease.tasks import TASKS, Task, read
from harness.environments import Environment, packages
from harness.errors import HarnessError
from harness.worker import worker_variables

#: What can become of a program. `cannot`: the framework lacks something, and the program says what. `unwritten`: there
#: is no such file.
OUTCOMES = ("done", "cannot", "wrong", "failed", "unwritten")

CANNOT = "cannot: "

#: A line that a framework prints to warn: what Python's warnings and the usual loggers write.
_WARNING = re.compile(r"warn(?:ing)?\b|^\s*\[?W\s?\d{2,}|\bdeprecated\b", re.IGNORECASE)

#: Python's warnings quote the line that they are about, indented.
_QUOTED = re.compile(r"^\s{2,}")


@dataclass
class Attempt:
    """What became of one program. reason: why it is not done. warnings: lines printed to warn. extra_packages: those
    that it needed beyond the environment. log: all that it printed."""

    adapter: str
    task: str
    outcome: str
    reason: str = ""
    seconds: float | None = None
    warnings: int = 0
    extra_packages: int = 0
    log: str = ""


def folder_of(adapter: AdapterSpec) -> Path:
    return adapter.folder / "rosetta"


def file_of(adapter: AdapterSpec, task: str) -> Path:
    """Where an adapter's program for a task stands, or would stand."""
    return folder_of(adapter) / f"{task}.py"


def asked_of(adapter: AdapterSpec) -> Iterator[Task]:
    """The tasks that an adapter can be asked for: one that does not train is asked only to infer."""
    for task in TASKS.values():
        if task.purpose in adapter.scenarios:
            yield task


def run(
    adapter: AdapterSpec, task: Task, environment: Environment, scratch: Path, threads: int, timeout: float
) -> Attempt:
    """Run one program in a new folder within scratch, and judge its results. Raises HarnessError if data is lacking."""
    attempt = Attempt(adapter.name, task.name, "unwritten", "there is no such program")
    program = file_of(adapter, task.name)
    if not program.is_file():
        return attempt
    folder = scratch / f"{adapter.name}-{task.name}"
    folder.mkdir(parents=True)
    task.prepare(folder, adapter.layout)
    try:
        extra = _beside(program, environment, attempt)
    except HarnessError as error:
        attempt.outcome, attempt.reason = "failed", str(error)
        return attempt
    begin = time.perf_counter()
    try:
        ended = subprocess.run(
            [str(environment.python), str(program)],
            cwd=folder,
            env=worker_variables(threads, environment.device, environment.variables) | extra,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        attempt.outcome, attempt.reason = "failed", f"it did not end within {timeout:.0f} s"
        return attempt
    attempt.seconds = time.perf_counter() - begin
    attempt.log = ended.stdout
    attempt.warnings = count_warnings(ended.stdout)
    _judge(attempt, task, ended.returncode, folder)
    return attempt


def _judge(attempt: Attempt, task: Task, code: int, folder: Path) -> None:
    lines = attempt.log.strip().splitlines() or [""]
    if code and lines[-1].startswith(CANNOT):
        attempt.outcome, attempt.reason = "cannot", lines[-1].removeprefix(CANNOT)
        return
    if code:
        attempt.outcome, attempt.reason = "failed", f"it ended with code {code}: {lines[-1]}"
        return
    try:
        objection = task.objection(read(folder / "results.npz"))
    except (OSError, ValueError, KeyError) as error:
        objection = f"it left no results: {error}"
    attempt.outcome, attempt.reason = ("wrong", objection) if objection else ("done", "")


def _beside(program: Path, environment: Environment, attempt: Attempt) -> dict[str, str]:
    lock = program.with_suffix(".lock")
    if not lock.is_file():
        return {}
    folder = packages.provide(lock, environment.python, environment.python_version)
    attempt.extra_packages = len(list(folder.glob("*.dist-info")))
    return {"PYTHONPATH": str(folder)}


def count_warnings(text: str) -> int:
    """Lines of a program's output that warn."""
    return sum(bool(_WARNING.search(line)) and not _QUOTED.match(line) for line in text.splitlines())
