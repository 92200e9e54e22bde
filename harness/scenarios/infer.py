"""Inference: one forward pass of the model."""

from __future__ import annotations

from harness import parity
from harness.live import LiveCell


def gate(live: LiveCell) -> None:
    """Outputs against the reference."""
    outputs = live.fetch("infer", inputs=str(live.workload.inputs()))
    parity.check_outputs(live.finding, outputs, live.workload.reference())


def compare(cells: list[LiveCell]) -> None:
    """Nothing more: each cell was held against the reference."""
