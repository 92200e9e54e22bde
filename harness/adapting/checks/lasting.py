"""Many loads and many steps: memory comes to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from harness.adapting.findings import Finding, failed, passed, untold
from harness.adapting.subject import Subject
from harness.live import LiveCell
from harness.measure import memory
from harness.worker import Worker

#: Memory is looked at after each of so many windows of equally many loads or steps.
_WINDOWS = 12

#: A process fills its caches in its first loads and steps.
_FIRST = 2


def check(subject: Subject) -> Iterator[Finding]:
    smallest = subject.smallest()
    with subject.worker() as worker:
        load = partial(_load, subject, smallest, worker)
        yield _watched(subject, worker, load, subject.pace.loads, "loads", "close")
    for purpose, method in (("infer", "infer"), ("train", "train_step")):
        if purpose in subject.purposes:
            with subject.worker(purpose) as worker:
                step = partial(_step, subject.load(subject.smallest(purpose).workload, worker))
                yield _watched(subject, worker, step, subject.pace.steps, f"steps ({purpose})", method)


def _load(subject: Subject, like: LiveCell, worker: Worker, count: int) -> None:
    for _ in range(count):
        subject.load_again(like, worker).ask("close")


def _step(live: LiveCell, count: int) -> None:
    about = {"what": live.cell.purpose, "scope": "call", "inputs": str(live.workload.inputs())}
    live.ask("turn", **about, repetitions=count, budget_ns=0)


def _watched(
    subject: Subject, worker: Worker, do: Callable[[int], None], wanted: int, what: str, method: str
) -> Finding:
    """Do something again and again, as often as there is time for, and see whether memory goes on growing."""
    do(_FIRST)
    begin = time.monotonic()
    do(_FIRST)
    each = (time.monotonic() - begin) / _FIRST
    window = min(wanted // _WINDOWS, int(subject.pace.lasting_seconds / each) // _WINDOWS)
    budget = f"within {subject.pace.lasting_seconds:g} s"
    if window < 1:
        return untold(f"{what}: {each:.1f} s each are too long to see a leak {budget}")
    sizes = []
    for _ in range(_WINDOWS):
        do(window)
        sizes.append(resident(worker.process.pid))
    done = window * _WINDOWS
    told = f"{done} {what}" + ("" if done >= wanted - _WINDOWS else f" of {wanted} {budget}")
    leak = memory.leak(sizes)
    if leak:
        each_one = (sizes[-1] - sizes[_WINDOWS // 2]) / (window * (_WINDOWS - 1 - _WINDOWS // 2))
        text = f"it leaks: in {told} resident memory grew to {memory.megabytes(sizes[-1])}, at last by"
        return failed(f"{text} {memory.megabytes(each_one)} each", subject.source.method(method))
    return passed(f"{told}: resident memory comes to rest at {memory.megabytes(sizes[-1])}")


def resident(process: int) -> int:
    """Resident bytes of a process, asked of the kernel, not of the process."""
    for name, key in (("smaps_rollup", "Rss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{process}/{name}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0
