"""What it computes: models of the zoo, other inputs, two networks in turn, and the same again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from harness import locate, parity
from harness.adapting.findings import Finding, failed, missing, passed
from harness.adapting.subject import Judged, Subject
from harness.live import LiveCell
from harness.spec.reference import Arrays, Reference, relative_error
from harness.worker import WorkerFailed


def check(subject: Subject) -> Iterator[Finding]:
    judged = subject.judged()
    right = [name for name, one in judged.items() if not one.reason]
    if right:
        yield passed(f"right: {', '.join(right)}")
    for name, one in judged.items():
        if one.reason:
            yield _objection(subject, name, one)
    live = subject.smallest()
    yield from _other_inputs(subject, live)
    yield from _in_turn(subject, live)
    yield from _again(subject, live)


def lacking(subject: Subject, name: str, purpose: str) -> list[str]:
    """Operators of a model that the adapter has no function for."""
    operators = subject.site(purpose).operators
    needed = dict.fromkeys(node.op for node in subject.workload(name, purpose).program.nodes)
    return [] if "*" in operators else [op for op in needed if op not in operators]


def cannot(subject: Subject, name: str, purpose: str, reason: str) -> Finding:
    """That a model is refused, and what of it is lacking."""
    operators = lacking(subject, name, purpose)
    why = f"no function for {', '.join(operators)}" if operators else reason
    return missing(f"it cannot {purpose} {name}: {why}", subject.source.operators())


def culprit(subject: Subject, live: LiveCell) -> tuple[str, str]:
    """Where a wrong answer begins, in words, and the line to open."""
    try:
        found = locate.first_wrong(live, live.cell.options)
    except WorkerFailed as failure:
        if not failure.alive:
            raise
        found = None
    if found is None:
        return "", subject.source.method("infer")
    return f"; {found}", subject.source.operator(found.node.partition(" ")[0])


def _objection(subject: Subject, name: str, one: Judged) -> Finding:
    if one.refused:
        return cannot(subject, name, "infer", one.reason)
    if not one.live.network:
        return failed(f"{name}: {one.reason}", subject.source.operator(one.reason.partition(" ")[0]))
    begins, where = culprit(subject, one.live)
    return failed(f"{name}: {one.reason}{begins}", where)


def _infer(live: LiveCell, inputs: str) -> Arrays:
    path = f"{live.scratch}/{live.network}-again"
    live.ask("infer", inputs=inputs, outputs=path)
    return {name: numpy.array(array) for name, array in parity.read(path).items()}


def _miss(live: LiveCell, outputs: Arrays, reference: Reference) -> str:
    finding = parity.Finding(precision=live.cell.precision)
    parity.check_outputs(finding, outputs, reference)
    return finding.reason


def _other_inputs(subject: Subject, live: LiveCell) -> Iterator[Finding]:
    """Each seed's own right answer, the first one's once more at the end."""
    first = live.workload.reference()
    for seed in (1, 2, 0):
        workload = subject.workload(live.cell.model, seed=seed)
        outputs = _infer(live, str(workload.inputs()))
        reason = _miss(live, outputs, workload.reference())
        if reason and seed and not _miss(live, outputs, first):
            reason = "it gives the answer to other inputs"
        if reason:
            yield failed(f"{live.cell.model}, inputs of seed {seed}: {reason}", subject.source.method("infer"))
            return
    yield passed(f"{live.cell.model}: inputs of three seeds have their own answers")


def _in_turn(subject: Subject, live: LiveCell) -> Iterator[Finding]:
    """Two networks of one shape with different weights, in one worker."""
    twin = subject.load(subject.twin(live.cell.model))
    inputs = str(live.workload.inputs())
    right = {live.network: live.workload.reference(), twin.network: twin.workload.reference()}
    for one, other in ((twin, live), (live, twin), (twin, live)):
        outputs = _infer(one, inputs)
        reason = _miss(one, outputs, right[one.network])
        if reason and not _miss(one, outputs, right[other.network]):
            reason = "it gives another model's output, that of the network that was loaded beside it"
        if reason:
            yield failed(f"two networks in turn: {reason}", subject.source.method("load"))
            break
    else:
        yield passed("two networks with other weights, used in turn, have their own answers")
    twin.ask("close")


def _again(subject: Subject, live: LiveCell) -> Iterator[Finding]:
    """The same input twice, and in another process."""
    inputs = str(live.workload.inputs())
    first = _infer(live, inputs)
    with subject.worker() as worker:
        elsewhere = _infer(subject.load(live.workload, worker), inputs)
    for where, outputs in (("twice", _infer(live, inputs)), ("in another process", elsewhere)):
        error = max(relative_error(outputs[name], first[name]) for name in first)
        rounding = live.workload.reference().rounding
        allowed = max(live.finding.allows(error) for error in rounding.values())
        if error > allowed:
            yield failed(f"the same input {where}: the answers differ by {error:.2g}", subject.source.method("infer"))
        elif error:
            yield passed(f"the same input {where}: equal but for rounding ({error:.1g} of the largest value)")
        else:
            yield passed(f"the same input {where}: the same bits")
