"""Options are honoured or refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterator

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject, gate
from harness.errors import HarnessError
from harness.live import LiveCell
from harness.spec.precision import PRECISIONS
from harness.worker import WorkerFailed

_UNKNOWN = "no-such-thing"

#: Threads are asked for in these numbers; each count is looked at so many times, and the least counts.
_THREADS, _LOOKS = (1, 2), 4

#: A mode or precision is tried on this model first, and where it is refused on the smallest ones.
_TRIED, _MODELS = "lenet5", 3


def check(subject: Subject) -> Iterator[Finding]:
    subject.smallest()  # nothing is said where it computes nothing yet
    undeclared = [("mode", _UNKNOWN), ("precision", _UNKNOWN), ("device", _UNKNOWN)]
    if subject.device == "cpu":
        undeclared.append(("device", "cuda"))  # which is hidden from the worker
    undeclared += [("precision", value) for value in PRECISIONS if value not in subject.spec.precisions]
    accepted = {asked: _unless_refused(subject, *asked) for asked in undeclared}
    yield from filter(None, accepted.values())
    refused = [f"{option} {value!r}" for (option, value), finding in accepted.items() if finding is None]
    if refused:
        yield passed(f"refused: {', '.join(refused)}")
    for mode in subject.spec.modes:
        for precision in subject.spec.precisions:
            yield _honoured(subject, mode, precision)


def _unless_refused(subject: Subject, option: str, value: str) -> Finding | None:
    """What is not declared must be refused as Unsupported, when it is loaded or at the latest when it is run."""
    where, asked = subject.source.method("load"), f"{option} {value!r}"
    try:
        live = _loaded(subject, option, value)
        outputs = live.fetch("infer", inputs=str(live.workload.inputs()))
    except WorkerFailed as failure:
        if not failure.alive:
            raise
        if failure.kind == "unsupported":
            return None
        return failed(f"{asked} ends in {failure.reason[:80]}; Unsupported is what refuses", where)
    live.ask("close")
    return failed(f"{asked} is ignored: it loads, and gives {len(outputs)} outputs; refuse it by Unsupported", where)


def _loaded(subject: Subject, option: str, value: str) -> LiveCell:
    """The smallest network, loaded with one option changed; its bundle is of a precision that exists."""
    one = subject.smallest()
    precision = value if option == "precision" and value in PRECISIONS else "fp32"
    bundle = one.workload.bundle(one.site.operators, subject.spec.layout, precision)
    return subject.load_again(one, subject.shared(), str(bundle.folder), **{option: value})


def _honoured(subject: Subject, mode: str, precision: str) -> Finding:
    """What is declared must be right, or be refused with a reason: tried on a model with convolutions, if there is."""
    words, where = f"mode {mode}, precision {precision}", subject.source.method("load")
    reason = ""
    for one in sorted(subject.able(), key=lambda live: live.cell.model != _TRIED)[:_MODELS]:
        try:
            live = subject.load(one.workload, mode=mode, precision=precision)
            gate(live)
        except WorkerFailed as failure:
            if not failure.alive:
                raise
            if failure.kind != "unsupported":
                return failed(f"{words}, {one.cell.model}: {failure.reason}", where)
            reason = f"refused: {failure.reason}"
            continue
        except HarnessError as error:  # the model itself has no such precision
            reason = error.what
            continue
        live.ask("close")
        if live.finding.reason and not one.finding.reason:
            return failed(f"{words}, {one.cell.model}: {live.finding.reason}", where)
        return passed(f"{words}: {'as wrong as by default' if live.finding.reason else 'right'} on {one.cell.model}")
    return passed(f"{words}: {reason}")


def check_threads(subject: Subject) -> Iterator[Finding]:
    """As many threads work as were asked for, never more."""
    workloads = [subject.work()]
    biggest = subject.able()[-1].workload
    if biggest.cost.flops > workloads[0].cost.flops / 4:
        workloads.append(biggest)
    for asked in _THREADS:
        counts = {}
        with subject.worker(threads=asked) as worker:
            for workload in workloads:
                live = subject.load(workload, worker, threads=asked)
                inputs = str(workload.inputs())
                found = [
                    live.ask("ran", what="infer", inputs=inputs)["facts"]["working_threads"] for _ in range(_LOOKS)
                ]
                counts[f"{workload.model.name} (batch {workload.batch})"] = min(filter(None, found), default=0)
        told = ", ".join(f"{count} for {name}" for name, count in counts.items())
        # Beside the threads that compute, one that only hands out work shows in a small model, not in every one.
        if min(counts.values()) > asked:
            yield failed(f"threads={asked} is ignored: working threads are {told}", subject.source.method("load"))
        else:
            yield passed(f"threads={asked}: working threads are {told}")
