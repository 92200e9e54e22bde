"""The gate: no time is published for a cell that did not compute what the model says.

Tolerances are not chosen per framework. An output may be as far from the float64 reference as a small multiple of what
float32 rounding alone does to the same evaluation; the floor is for models that hardly round at all.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy

from harness.kit import Program, arrays
from harness.spec.optimizers import first_step
from harness.spec.reference import Arrays, Reference, Slope, relative_error, slope_error

#: An output may differ by this many times the rounding error of a plain float32 evaluation ...
ROUNDING_FACTOR = 50.0

#: ... and always by this much, relative to the largest value of that output.
FLOOR = 2e-5

#: Losses of the first steps may differ this much, relatively, from the median of all adapters.
LOSS_TOLERANCE = 1e-4

#: Gradients may miss a measured slope by this part of the slope that such gradients have typically.
SLOPE_TOLERANCE = 1e-2

#: A weight after one step may miss the optimizer's formula by this part of the tensor's largest change or rounding.
STEP_TOLERANCE = 1e-3


@dataclass
class Finding:
    """What the gate found for one cell. reason is empty where everything agrees."""

    max_relative_error: float = 0.0
    reason: str = ""
    facts: dict[str, float] = field(default_factory=dict)

    def object(self, reason: str) -> None:
        """Keep the first objection: what failed first is what a reader wants to know."""
        self.reason = self.reason or reason


def check_outputs(finding: Finding, outputs: Arrays, reference: Reference) -> None:
    """Every output against the reference."""
    for name, right in reference.outputs.items():
        if name not in outputs:
            finding.object(f"output {name!r} is missing")
            continue
        error = relative_error(outputs[name], right)
        allowed = max(FLOOR, ROUNDING_FACTOR * reference.rounding[name])
        finding.max_relative_error = max(finding.max_relative_error, error)
        if not error <= allowed:
            finding.object(f"output {name!r} is off by {error:.2g} of its largest value; {allowed:.2g} is allowed")


def check_first_loss(finding: Finding, loss: float, reference: Reference, name: str) -> None:
    """The loss at the first weights against the reference."""
    right = float(reference.outputs[name].reshape(()))
    error = abs(loss - right) / max(abs(right), 1e-30)
    allowed = max(FLOOR, ROUNDING_FACTOR * reference.rounding[name])
    finding.max_relative_error = max(finding.max_relative_error, error)
    if not error <= allowed:
        finding.object(f"the first loss is {loss:.6g}, the reference says {right:.6g} ({allowed:.2g} is allowed)")


def check_gradients(finding: Finding, gradients: Arrays, slopes: list[Slope]) -> None:
    """Gradients against slopes measured on the reference."""
    error = max((slope_error(slope, gradients) for slope in slopes), default=0.0)
    finding.facts["gradient_error"] = error
    if not error <= SLOPE_TOLERANCE:
        finding.object(f"its gradients miss the measured slope of the loss by {error:.2g} of a typical one")


def check_first_step(finding: Finding, program: Program, gradients: Arrays, after: Arrays) -> int:
    """Weights after one step against the optimizer's formula on the adapter's own gradients.

    Returns the number of parameters in the tensors that changed (an element whose gradient is zero stays, and may).
    """
    assert program.training is not None
    changed, worst, where = 0, 0.0, ""
    for name in program.training.parameters:
        before = numpy.asarray(program.weights[name], numpy.float64)
        if name not in after or name not in gradients or after[name].shape != before.shape:
            finding.object(f"parameter {name!r} is not trained")
            continue
        right = first_step(program.training.optimizer, before, numpy.asarray(gradients[name], numpy.float64))
        moved, meant = numpy.asarray(after[name], numpy.float64) - before, right - before
        rounding = 4 * float(numpy.abs(before).max(initial=0.0)) * float(numpy.finfo(numpy.float32).eps)
        distance = float(numpy.abs(meant).max(initial=0.0))
        if distance > rounding and not moved.any():
            finding.object(f"parameter {name!r} did not change in the first step")
        changed += moved.size if moved.any() or 0 < distance <= rounding else 0
        scale = distance + rounding / STEP_TOLERANCE
        error = float(numpy.abs(moved - meant).max(initial=0.0)) / max(scale, 1e-30)
        if error > worst:
            worst, where = error, name
    finding.facts["step_error"] = worst
    if not worst <= STEP_TOLERANCE:
        finding.object(f"after one step {where!r} is not where {program.training.optimizer.op} puts it ({worst:.2g})")
    return changed


def check_curves(findings: Mapping[str, Finding], curves: Mapping[str, list[float]]) -> None:
    """Losses of the first steps against each other: each cell's curve against the median of all."""
    sound = {cell: curve for cell, curve in curves.items() if not findings[cell].reason}
    if not sound:
        return
    middle = [statistics.median(losses) for losses in zip(*sound.values(), strict=True)]
    for cell, curve in sound.items():
        errors = [abs(a - b) / max(abs(b), 1e-30) for a, b in zip(curve, middle, strict=True)]
        findings[cell].facts["loss_disagreement"] = max(errors)
        for step, error in enumerate(errors, 1):
            if not error <= LOSS_TOLERANCE:
                findings[cell].object(
                    f"its loss at step {step} is {curve[step - 1]:.6g}, the others' median {middle[step - 1]:.6g}"
                )
                break


def read(path: str) -> Arrays:
    """Arrays that a worker wrote."""
    return arrays.read_arrays(path)
