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

#: Memory is looked at after each of so many windows of equally many loads or steps.
_WINDOWS = 12

#: A process fills its caches in its first loads and steps.
_FIRST = 2


def check(subject: Subject) -> Iterator[Finding]:
    for purpose, method in (("infer", "infer"), ("train", "train_step")):
        if purpose not in subject.purposes:
            continue
        with subject.worker(purpose) as worker:
            live = subject.load(subject.smallest(purpose).workload, worker)
            if purpose == "infer":
                yield _watched(subject, live, partial(_load, subject, live), subject.pace.loads, "loads", "close")
            yield _watched(subject, live, partial(_step, live), subject.pace.steps, f"steps ({purpose})", method)


def _load(subject: Subject, like: LiveCell, count: int) -> None:
    assert like.worker is not None
    for _ in range(count):
        subject.load_again(like, like.worker).ask("close")


def _step(live: LiveCell, count: int) -> None:
    _ask(live, "turn", repetitions=count, budget_ns=0)


def _ask(live: LiveCell, do: str, **arguments: int) -> None:
    about = {"what": live.cell.purpose, "scope": "call", "inputs": str(live.workload.inputs())}
    live.ask(do, **about, **arguments)


def _watched(
    subject: Subject, live: LiveCell, do: Callable[[int], None], wanted: int, what: str, method: str
) -> Finding:
    """Do something again and again, as often as there is time for, and see whether memory goes on growing."""
    assert live.worker is not None
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
        _ask(live, "warm_up", budget_ns=0)  # which has Python collect its garbage: what waits for that is no leak
        sizes.append(resident(live.worker.process.pid))
    done = window * _WINDOWS
    told = f"{done} {what}" + ("" if done >= wanted - _WINDOWS else f" of {wanted} {budget}")
    leak = memory.leak(sizes)
    if leak:
        later = len(sizes) - 1 - _WINDOWS // 2
        grown = (sizes[-1] - sizes[_WINDOWS // 2]) / (window * later)
        text = f"it leaks: in {told} resident memory grew to {memory.megabytes(sizes[-1])}, at last by"
        return failed(f"{text} {grown / 1e3:,.0f} kB each", subject.source.method(method))
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
