"""Training: one step is the loss, its gradients, the optimizer's update and the running statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import parity
from harness.live import LiveCell
from harness.parity import Walk
from harness.spec.reference import Arrays

#: Steps whose losses are held against each other.
STEPS = 10

#: Steps after which every weight is held against the optimizer's formula: the first, the first with a state that is not
#: zero, and one more.
FOLLOWED = 3


def gate(live: LiveCell) -> None:
    """Losses, the number of parameters that change, gradients, steps and running statistics."""
    workload, program, finding = live.workload, live.workload.program, live.finding
    assert program.training is not None
    loss = program.training.loss
    live.curve = live.ask("train", inputs=[str(workload.inputs())], steps=STEPS)["losses"]
    live.facts["losses"] = live.curve
    parity.check_loss(finding, live.curve[0], workload.reference(), loss, "first loss")
    walk, losses = follow(live)
    surface = workload.surface(walk.gradients[0])
    live.parameters_trained = parity.check_trained(finding, program, walk, surface.level)
    parity.check_loss(finding, losses[0], workload.nearby(), loss, "loss a little off the first weights")
    slopes, there = workload.slopes(walk.gradients[0]), walk.gradients[0]
    parity.check_gradients(finding, program, there, slopes, lambda slope: surface.culprit(slope, there))
    parity.check_steps(finding, program, walk)
    parity.check_updates(finding, program, walk.weights[1], workload.nearby())


def follow(live: LiveCell) -> tuple[Walk, list[float]]:
    """Some steps from the nudged weights, one at a time, and their losses."""
    inputs, nudged = str(live.workload.inputs()), str(live.workload.nudged())
    gradients = [_fetch(live, "gradients", 0, inputs=inputs, parameters=nudged)]
    weights, losses = [parity.read(nudged)], []
    for number in range(1, FOLLOWED + 1):
        losses += live.ask("train", inputs=[inputs], steps=1, reset=False)["losses"]
        weights.append(_fetch(live, "parameters", number))
    for number in range(1, FOLLOWED):
        gradients.append(_fetch(live, "gradients", number, inputs=inputs, parameters=_path(live, "parameters", number)))
    return Walk(weights, gradients), losses


def compare(cells: list[LiveCell]) -> None:
    """The first losses of all cells against each other."""
    curves = {live.cell.id: live.curve for live in cells if live.well and live.curve}
    if curves:
        workload = cells[0].workload
        assert workload.program.training is not None
        rounding = workload.reference().rounding[workload.program.training.loss]
        parity.check_curves({live.cell.id: live.finding for live in cells}, curves, rounding)


def _fetch(live: LiveCell, do: str, number: int, **arguments: Any) -> Arrays:
    """Arrays of one moment, in files of their own: what was read before is mapped from its file, and must stay."""
    path = _path(live, do, number)
    live.ask(do, outputs=path, **arguments)
    return parity.read(path)


def _path(live: LiveCell, do: str, number: int) -> str:
    return str(Path(live.scratch) / f"{live.network}-{do}-{number}")
