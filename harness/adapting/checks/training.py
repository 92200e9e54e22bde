"""Training: losses, gradients, steps and statistics as the recipe says, and the same each time."""

from __future__ import annotations

from collections.abc import Iterator

from harness.adapting.checks.answers import cannot
from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import MODELS, Subject
from harness.live import LiveCell
from harness.worker import WorkerFailed

_STEPS = 5

#: Losses of the same steps may differ by so much, relatively, where a framework adds up in another order each time.
_ROUNDING = 1e-4


def check(subject: Subject) -> Iterator[Finding]:
    if not subject.trains:
        yield _declined(subject)
        return
    judged = subject.judged("train")
    for name, one in judged.items():
        live = one.live
        if one.refused:
            yield cannot(subject, name, "train", one.reason)
        elif not one.reason:
            yield passed(f"{name}: losses, gradients and steps are right; {live.parameters_trained:,} parameters train")
        else:
            method = "gradients" if "gradient" in one.reason or "slope" in one.reason else "train_step"
            yield failed(f"{name}: {one.reason}", subject.source.method(method))
    yield _again(subject, subject.smallest("train"))


def _again(subject: Subject, live: LiveCell) -> Finding:
    inputs = [str(live.workload.inputs())]
    first, second = (live.ask("train", inputs=inputs, steps=_STEPS)["losses"] for _ in range(2))
    difference = max(abs(a - b) / max(abs(a), 1e-30) for a, b in zip(first, second, strict=True))
    if difference > _ROUNDING:
        where = subject.source.method("set_parameters")
        return failed(
            f"{live.cell.model}: the same {_STEPS} steps again have other losses (by {difference:.2g})", where
        )
    same = "to the last bit" if not difference else f"but for rounding ({difference:.1g})"
    return passed(f"{live.cell.model}: the same {_STEPS} steps again have the same losses, {same}")


def _declined(subject: Subject) -> Finding:
    """An adapter that does not declare training refuses it."""
    workload = subject.workload(MODELS["train"][0], "train")
    where = subject.source.method("train_step")
    try:
        bundle = workload.bundle(subject.site().operators, subject.spec.layout)
        live = subject.load_again(subject.smallest(), subject.shared(), str(bundle.folder))
        live.ask("train", inputs=[str(workload.inputs())], steps=1)
    except WorkerFailed as failure:
        if not failure.alive:
            raise
        if failure.kind == "unsupported":
            return passed("adapter.toml declares no training, and it is refused")
        return failed(
            f"training is not declared, and ends in {failure.reason[:80]}; Unsupported is what refuses", where
        )
    return failed("it trains, but adapter.toml does not declare it (scenarios)", subject.source.toml)
