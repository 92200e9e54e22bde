"""synchronize() waits until the work is done: else its framework would look faster than it is."""

from __future__ import annotations

from collections.abc import Iterator

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject
from harness.live import LiveCell

#: Who leaves work behind does so as a rule; a neighbour disturbs now and then. So often it is looked, and so often it
#: may seem to be late by chance.
_EXAMINATIONS, _BY_CHANCE = 3, 1

#: A result that comes later than after a pause, by more than each of these, was still being computed: nanoseconds, and
#: a share of the fetch itself.
_NOISE_NS, _FETCH_SHARE = 300_000, 0.5

#: The worker's pause is 30 ms; a step that is left behind must be done by then.
_LONGEST_NS = 20_000_000


def check(subject: Subject) -> Iterator[Finding]:
    for purpose in subject.purposes:
        live = _timed(subject, purpose)
        yield _examined(subject, live)
        live.ask("close")


def _timed(subject: Subject, purpose: str) -> LiveCell:
    """A network whose step takes long enough to be seen, and not longer than the worker's pause."""
    live = subject.load(subject.work(purpose))
    while min(_from_arrays(live) for _ in range(3)) > _LONGEST_NS and live.cell.batch > 1:
        live.ask("close")
        live = subject.load(subject.workload(live.cell.model, purpose, max(1, live.cell.batch // 3)))
    return live


def _from_arrays(live: LiveCell) -> float:
    """Nanoseconds from arrays to a result on the host, which nobody can give before it is computed."""
    inputs = str(live.workload.inputs())
    if live.cell.purpose == "train":
        return float(live.ask("train", inputs=[inputs], steps=1)["ns"])
    return float(live.ask("infer", inputs=inputs, outputs=f"{live.scratch}/{live.network}-timed")["ns"])


def _examined(subject: Subject, live: LiveCell) -> Finding:
    """One step at a time: what does not wait would else be asked for more than it can finish in the pause."""
    about = f"{live.cell.purpose} {live.cell.model}, batch {live.cell.batch}"
    inputs = str(live.workload.inputs())
    late = []
    for _ in range(_EXAMINATIONS):
        found = live.ask("late_work", what=live.cell.purpose, inputs=inputs, repetitions=1)
        if found["late_ns"] > max(_NOISE_NS, _FETCH_SHARE * found["fetch_ns"]):
            late.append(found)
    if len(late) <= _BY_CHANCE:
        return passed(f"{about}: synchronize() waits")
    return failed(
        f"{about}: synchronize() returns before the work is done: a step took {late[0]['steps_ns'] / 1e6:.3g} ms by "
        f"our clock, and its result came {late[0]['late_ns'] / 1e6:.3g} ms later than after a pause",
        subject.source.method("synchronize"),
    )
