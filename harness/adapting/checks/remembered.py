"""Answers are computed, not remembered: what was seen before takes as long as what is new."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

from harness.adapting.findings import Finding, failed, passed, untold
from harness.adapting.subject import Subject
from harness.live import LiveCell

#: Inputs that are seen for the first time and then again; two more warm up.
_INPUTS, _WARM = 9, 2

#: What is seen again may be quicker, because it lies in the caches; but it does not take a third of the time.
_SHARE = 1 / 3

#: Threads of a framework sleep after these seconds, whatever came before, so that all steps begin alike. Who seems to
#: remember after the first is looked at again.
_PAUSES = (0.02, 0.1)

#: Steps shorter than this say nothing.
_LEAST_NS = 500_000


def check(subject: Subject) -> Iterator[Finding]:
    live = subject.load(subject.work())
    for scope, words in (("call", "from arrays to arrays"), ("device", "staged once")):
        yield _again(subject, live, scope, words)
    live.ask("close")
    if subject.trains:
        yield _after_change(subject)


def _again(subject: Subject, live: LiveCell, scope: str, words: str) -> Finding:
    for pause in _PAUSES:
        new, known = _quickest(subject, live, scope, pause)
        told = f"{words}: new inputs take {new.took / 1e6:.3g} ms, those seen before {known.took / 1e6:.3g} ms"
        if known.took >= _SHARE * new.took:
            return passed(told)
    if new.took < _LEAST_NS:
        return untold(f"{told}: too short to tell")
    if known.took >= _SHARE * new.ran:
        return untold(f"{told}, most of it waiting for a CPU: the machine is too busy to tell")
    return failed(f"answers are remembered by input ({told})", subject.source.method("infer"))


class _Steps(NamedTuple):
    """Nanoseconds of the quickest of some steps. ran: the median of those in which they did not wait for a CPU.

    On a busy machine a process that has just staged something has to wait sooner than one that comes from a pause.
    """

    took: float
    ran: float


def _quickest(subject: Subject, live: LiveCell, scope: str, pause: float) -> tuple[_Steps, _Steps]:
    """The quickest step on new inputs, and on inputs that were seen before."""
    new: list[tuple[float, float]] = []
    known: list[tuple[float, float]] = []
    for number in range(_WARM + _INPUTS):
        path = subject.fed(live.workload, next(subject.seeds))
        first, second = (_step(live, scope, path, pause) for _ in range(2))
        if number >= _WARM:
            new.append(first)
            known.append(second)
    summed = [
        _Steps(min(took for took, _ in steps), statistics.median(ran for _, ran in steps)) for steps in (new, known)
    ]
    return summed[0], summed[1]


def _step(live: LiveCell, scope: str, path: str, pause: float) -> tuple[float, float]:
    """Nanoseconds of one step, and those of them in which its threads did not wait for a CPU."""
    time.sleep(pause)
    reply = live.ask("turn", what="infer", scope=scope, inputs=path, repetitions=1, budget_ns=0)
    waited = reply["waited_ns"][0] / live.cell.threads  # threads of one operator wait side by side
    return reply["ns"][0], max(0.0, reply["ns"][0] - waited)


def _after_change(subject: Subject) -> Finding:
    """The same inputs at other parameters have another loss."""
    live = subject.smallest("train")
    inputs = str(live.workload.inputs())
    first = live.ask("train", inputs=[inputs], steps=1)["losses"][0]
    live.fetch("gradients", inputs=inputs, parameters=str(live.workload.nudged()))
    changed = live.ask("train", inputs=[inputs], steps=1, reset=False)["losses"][0]
    if first == changed:
        return failed(
            f"set_parameters changes nothing: the loss stays {first:.6g}", subject.source.method("set_parameters")
        )
    return passed(f"parameters that are set count: the loss goes from {first:.6g} to {changed:.6g}")
