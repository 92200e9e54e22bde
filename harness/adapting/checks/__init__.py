"""The checks, in the order in which they are run. Each is a function of the subject that yields findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.adapting.checks import (
    answers,
    board,
    ending,
    files,
    interface,
    lasting,
    options,
    output,
    plausibility,
    precision,
    remembered,
    synchronize,
    training,
)
from harness.adapting.findings import Finding
from harness.adapting.subject import Subject

Check = Callable[[Subject], Iterator[Finding]]

BOARD = "board"

CHECKS: dict[str, Check] = {
    "interface": interface.check,
    "answers": answers.check,
    "precision": precision.check,
    "options": options.check,
    "threads": options.check_threads,
    "synchronize": synchronize.check,
    "remembered answers": remembered.check,
    "plausibility": plausibility.check,
    "training": training.check,
    "output": output.check,
    "lasting": lasting.check,
    "ending": ending.check,
    BOARD: board.check,
    "files": files.check,
}
