"""Time and memory that can be: no step is faster than this machine computes, no process smaller than its arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy

from harness.adapting.findings import Finding, failed, passed, untold
from harness.adapting.subject import Subject
from harness.live import LiveCell
from harness.measure import memory
from harness.spec.liveness import floor

#: No framework computes a product, or moves bytes, so many times faster than numpy does on the same machine.
_GENEROUS = 8.0

#: Numpy is measured for so long, and its best counts: on a busy machine most tries are disturbed.
_SECONDS = 0.5

_WIDTH = 1024

#: Arrays of a network whose memory is looked at take so much: more than what a process has free by chance.
_FLOOR_BYTES = 64e6


def check(subject: Subject) -> Iterator[Finding]:
    for purpose in subject.purposes:
        yield _time(subject, purpose)
    yield from _memory(subject)


def _time(subject: Subject, purpose: str) -> Finding:
    if subject.device != "cpu":
        return untold("what this device can compute is measured by the scenario roof of `harness run`")
    live = subject.load(subject.work(purpose))
    about = {"what": purpose, "scope": "device", "inputs": str(live.workload.inputs())}
    live.ask("turn", **about, repetitions=1, budget_ns=0)
    quickest = min(live.ask("turn", **about, repetitions=1, budget_ns=50_000_000)["ns"]) / 1e9
    live.ask("close")
    cost = live.workload.cost
    operations, moved = cost.step_flops / quickest, cost.traffic_bytes / quickest
    peak, bandwidth = product_rate(), copy_rate(cost.traffic_bytes)
    told = f"{purpose}: {operations / 1e9:.3g} GFLOP/s and {moved / 1e9:.3g} GB/s"
    roof = f"numpy's product does {peak / 1e9:.3g} GFLOP/s, its copy {bandwidth / 1e9:.3g} GB/s"
    if operations > _GENEROUS * peak or moved > _GENEROUS * bandwidth:
        method = "infer" if purpose == "infer" else "train_step"
        return failed(f"faster than this machine can compute: {told}; {roof}", subject.source.method(method))
    return passed(f"{told}; {roof}")


def product_rate() -> float:
    """Operations a second of a matrix product by numpy, on all cores."""
    one = numpy.ones((_WIDTH, _WIDTH), numpy.float32)
    return 2 * _WIDTH**3 / _best(lambda: one @ one)


def copy_rate(count: int) -> float:
    """Bytes a second that numpy reads and writes, for as many bytes as there are to move."""
    one = numpy.ones(max(1, count // 8), numpy.float32)
    other = one.copy()
    return max(8, count) / _best(lambda: numpy.copyto(other, one))


def _best(do: Callable[[], object]) -> float:
    """The least of some times, in seconds."""
    least, deadline = math.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline:
        begin = time.perf_counter()
        do()
        least = min(least, time.perf_counter() - begin)
    return max(least, 1e-9)


def _memory(subject: Subject) -> Iterator[Finding]:
    small = subject.work()
    assert small.batch is not None
    batch = max(small.batch, math.ceil(small.batch * _FLOOR_BYTES / small.cost.floor_bytes))
    workload = subject.workload(small.model.name, "infer", batch)
    with subject.worker() as worker:
        live = subject.load(workload, worker)
        found = _peaks(live)
    assert live.bundle is not None
    least = floor(live.bundle.program)
    doubts = memory.truth(least, found)
    peak = found.resident_peak_bytes
    if subject.device == "cpu" and peak is not None and peak < least.total_bytes:
        yield failed(f"{doubts[0]}", subject.source.method("infer"))
        return
    for doubt in doubts:
        yield untold(doubt, subject.source.method("memory"))
    if not doubts and peak is not None:
        needed = memory.megabytes(least.total_bytes)
        yield passed(f"{memory.megabytes(peak)} resident, where the arrays alone take {needed}")


def _peaks(live: LiveCell) -> memory.Peaks:
    got = live.ask_steps("memory", steps=3)
    return memory.peaks(live.cell.device, got["account"], got["allocator"], got["before"], windows=got["windows"])
