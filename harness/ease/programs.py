"""Run a framework's Rosetta programs in its environment and judge what they computed.

A program is `rosetta/TASK.py` in the adapter's folder. Beside it may stand `TASK.lock`: packages that it needs beyond
those of the framework's environment. What a framework cannot do ends with `sys.exit("cannot: why")`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.ease import places, processes, source
from harness.ease.metrics import Row, row
from harness.ease.tasks import TASKS, Task, read
from harness.environments import Environment, packages
from harness.errors import HarnessError
from harness.worker import worker_variables

#: What can become of a program. `cannot`: the framework lacks something, and the program says what. `unwritten`: there
#: is no such file.
OUTCOMES = ("done", "cannot", "wrong", "failed", "unwritten")

CANNOT = "cannot: "

#: A line that a framework prints to warn: what Python's warnings and the usual loggers write.
_WARNING = re.compile(r"warn(?:ing)?\b|^\s*\[?W\s?\d{2,}|\[W:|\bdeprecated\b", re.IGNORECASE)

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


def parsed(adapter: AdapterSpec) -> Iterator[Row]:
    """What can be read off the text of each of an adapter's programs."""
    for task in asked_of(adapter):
        file = file_of(adapter, task.name)
        if file.is_file():
            for metric, value in source.measure(file.read_text(encoding="utf-8")).items():
                yield row(adapter.name, metric, value, f"rosetta/{file.name}", task.name)


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
        folder_beside = beside(program, environment)
        process_variables = variables(program, environment, threads)
    except HarnessError as error:
        attempt.outcome, attempt.reason = "failed", str(error)
        return attempt
    attempt.extra_packages = len(list(folder_beside.glob("*.dist-info"))) if folder_beside else 0
    begin = time.perf_counter()
    ended = processes.run([environment.python, program], folder, process_variables, timeout)
    attempt.seconds = time.perf_counter() - begin
    attempt.log = places.without(ended.printed, places.places_of(environment, folder, program))
    attempt.warnings = count_warnings(attempt.log)
    _judge(attempt, task, ended, folder)
    return attempt


def _judge(attempt: Attempt, task: Task, ended: processes.Ended, folder: Path) -> None:
    lines = attempt.log.strip().splitlines() or [""]
    if ended.code and lines[-1].startswith(CANNOT):
        attempt.outcome, attempt.reason = "cannot", lines[-1].removeprefix(CANNOT)
        return
    if ended.code != 0:
        attempt.outcome, attempt.reason = "failed", f"it {ended.how}: {lines[-1]}"
        return
    try:
        objection = task.objection(read(folder / "results.npz"))
    except (OSError, ValueError, KeyError) as error:
        objection = f"it left no results: {error}"
    attempt.outcome, attempt.reason = ("wrong", objection) if objection else ("done", "")


def beside(program: Path, environment: Environment) -> Path | None:
    """The folder of the packages that a program's own lock names; None where it has no lock. Raises HarnessError."""
    lock = program.with_suffix(".lock")
    return packages.provide(lock, environment.python, environment.python_version) if lock.is_file() else None


def variables(program: Path, environment: Environment, threads: int) -> dict[str, str]:
    """The variables of a program's process: those of a worker, and where its own packages lie. Raises HarnessError."""
    folder = beside(program, environment)
    extra = {"PYTHONPATH": str(folder)} if folder else {}
    return worker_variables(threads, environment.device, environment.variables) | extra


def count_warnings(text: str) -> int:
    """Lines of a program's output that warn."""
    return sum(bool(_WARNING.search(line)) and not _QUOTED.match(line) for line in text.splitlines())
