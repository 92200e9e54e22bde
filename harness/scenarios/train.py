"""Training: one step is the loss, its gradients, the optimizer's update and the running statistics."""

from __future__ import annotations

from harness import parity
from harness.live import LiveCell

PURPOSE = "train"

#: Steps whose losses are held against each other.
STEPS = 5


def gate(live: LiveCell) -> None:
    """First loss, gradients and first step against the reference and the optimizer's formula."""
    inputs, program = str(live.workload.inputs()), live.workload.program
    assert program.training is not None
    nearby = live.fetch("gradients", inputs=inputs, parameters=str(live.workload.nudged()))
    parity.check_gradients(live.finding, nearby, live.workload.slopes())
    gradients = live.fetch("gradients", inputs=inputs)
    first = live.ask("train", inputs=[inputs], steps=1)["losses"]
    after = live.fetch("parameters")
    parity.check_first_loss(live.finding, first[0], live.workload.reference(), program.training.loss)
    live.parameters_trained = parity.check_first_step(live.finding, program, gradients, after)
    live.curve = live.ask("train", inputs=[inputs], steps=STEPS)["losses"]
    live.facts["losses"] = live.curve


def compare(cells: list[LiveCell]) -> None:
    """The first losses of all cells against each other."""
    curves = {live.cell.id: live.curve for live in cells if live.well and live.curve}
    parity.check_curves({live.cell.id: live.finding for live in cells}, curves)
