"""The gate: no time is published for a cell that did not compute what the model says.

Tolerances are not chosen per framework. An output may be as far from the float64 reference as a small multiple of what
float32 rounding alone does to the same evaluation; the floor is for models that hardly round at all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy

from harness.kit import Optimizer, Program, arrays
from harness.spec import optimizers, slopes
from harness.spec.precision import EPSILONS
from harness.spec.reference import Arrays, Reference, relative_error
from harness.spec.slopes import Slope

#: An output may differ by this many times the rounding error of a plain float32 evaluation ...
ROUNDING_FACTOR = 50.0

#: ... and always by this much, relative to the largest value of that output.
FLOOR = 2e-5

#: In a lower precision: this many times its epsilon, or what float32's rounding is when magnified to it, ...
REDUCED_FACTOR = 8.0

#: ... but never more than this. Another model's answer is off by about 1.
REDUCED_LIMIT = 0.1

#: Gradients may always miss a slope along a plain direction by this part of the slope that they have typically, ...
SLOPE_FLOOR = 1e-2

#: ... and one along a balanced direction (which magnifies the rounding of gradients that nearly vanish) by this; ...
BALANCED_FLOOR = 1e-4

#: ... either by this many times what noise of float32's size does to it (it tips Relus over), ...
SLOPE_FACTOR = 5.0

#: ... but never by more than this. A parameter whose gradient is all wrong makes 1/sqrt(number of parameters).
SLOPE_TOLERANCE = 3e-2

#: float32's relative distance from one number to the next.
_EPSILON = float(numpy.finfo(numpy.float32).eps)

#: Elements of a weight that are checked at a time, in float64.
_CHUNK = 1 << 20


@dataclass
class Finding:
    """What the gate found for one cell. reason: empty where everything agrees. precision: what the cell computes in."""

    max_relative_error: float = 0.0
    reason: str = ""
    facts: dict[str, float] = field(default_factory=dict)
    precision: str = "fp32"

    def allows(self, rounding: float) -> float:
        """How far off an output may be, of its largest value, given what float32 rounding does to it."""
        if self.precision == "fp32":
            return max(FLOOR, ROUNDING_FACTOR * rounding)
        epsilon = EPSILONS[self.precision]
        return min(REDUCED_LIMIT, max(REDUCED_FACTOR * epsilon, REDUCED_FACTOR * rounding * epsilon / _EPSILON))

    def object(self, reason: str) -> None:
        """Keep the first objection: what failed first is what a reader wants to know."""
        self.reason = self.reason or reason


@dataclass(frozen=True)
class Walk:
    """Some steps of training. weights: before the first and after each; gradients: at the weights before each."""

    weights: list[Arrays]
    gradients: list[Arrays]


def check_outputs(finding: Finding, outputs: Arrays, reference: Reference) -> None:
    """Every output against the reference."""
    for name, right in reference.outputs.items():
        if name not in outputs:
            finding.object(f"output {name!r} is missing")
            continue
        error = relative_error(outputs[name], right)
        allowed = finding.allows(reference.rounding[name])
        finding.max_relative_error = max(finding.max_relative_error, error)
        if not error <= allowed:
            finding.object(f"output {name!r} is off by {error:.2g} of its largest value; {allowed:.2g} is allowed")


def check_loss(finding: Finding, loss: float, reference: Reference, name: str, which: str) -> None:
    """A loss against the reference at the same weights."""
    right = float(reference.outputs[name].reshape(()))
    error = abs(loss - right) / max(abs(right), 1e-30)
    allowed = finding.allows(reference.rounding[name])
    finding.max_relative_error = max(finding.max_relative_error, error)
    if not error <= allowed:
        finding.object(f"the {which} is {loss:.6g}, the reference says {right:.6g} ({allowed:.2g} is allowed)")


def check_trained(
    finding: Finding, program: Program, walk: Walk, level: Callable[[Collection[str]], bool] = lambda names: False
) -> int:
    """How many parameters really changed, against how many the model says train.

    level: whether the loss, by the reference, does not depend on some parameters at all. A tensor counts as a whole: an
    element whose gradient is zero stays, and may.
    """
    assert program.training is not None
    changed, total, frozen, idle = 0, 0, [], []
    for name in program.training.parameters:
        before, gradient = walk.weights[0][name], walk.gradients[0].get(name)
        total += before.size
        reached = [weights[name] for weights in walk.weights[1:] if name in weights]
        if any(array.shape == before.shape and not numpy.array_equal(array, before) for array in reached):
            changed += before.size
        elif not reached or gradient is None:
            frozen.append(name)
        elif not gradient.any():
            idle.append(name)
        elif _below_rounding(program, before, gradient):
            changed += before.size
        else:
            frozen.append(name)
    if idle and not level(idle):
        frozen += idle
    if frozen:
        named, stay = ", ".join(map(repr, frozen[:3])), "stays as it is" if len(frozen) == 1 else "stay as they are"
        more = f" and {len(frozen) - 3} more" if len(frozen) > 3 else ""
        finding.object(f"it trains {changed:,} of the model's {total:,} parameters: {named}{more} {stay}")
    return changed


def _below_rounding(program: Program, before: numpy.ndarray, gradient: numpy.ndarray) -> bool:
    """Is the first step too small for float32 to show?"""
    assert program.training is not None
    recipe = program.training.optimizer
    exact = before.astype(numpy.float64)
    right, _ = optimizers.step(recipe, 0, exact, gradient.astype(numpy.float64), optimizers.zero_state(recipe, exact))
    return bool((numpy.abs(right - exact) <= _EPSILON * numpy.abs(exact)).all())


def check_gradients(
    finding: Finding,
    program: Program,
    gradients: Arrays,
    measured: list[Slope],
    blame: Callable[[Slope], slopes.Culprit] | None = None,
) -> None:
    """Gradients against slopes measured on the reference.

    blame: finds the parameter that is most to blame for a slope that is missed.
    """
    assert program.training is not None
    for name in program.training.parameters:
        unfit = _unfit(gradients.get(name), name, program.tensors[name].shape)
        if unfit:
            finding.facts["gradient_error"] = math.inf
            finding.object(unfit)
            return
    errors = [slopes.error(slope, gradients) for slope in measured]
    allowances = [_slope_allowance(slope, gradients) for slope in measured]
    finding.facts["gradient_error"] = max(errors)
    finding.facts["gradient_error_allowed"] = min(allowances)
    error, allowed, slope = max(zip(errors, allowances, measured, strict=True), key=lambda found: found[0] / found[1])
    if error <= allowed:
        return
    reason = f"its gradients miss a slope of the loss by {error:.2g} of a typical one ({allowed:.2g} is allowed)"
    if blame is not None:
        culprit = blame(slope)
        reason += f", most of it in {culprit.name!r}: along a random direction its gradient says {culprit.says:.4g}"
        reason += f", the reference {culprit.measured:.4g}"
    finding.object(reason)


def _unfit(gradient: numpy.ndarray | None, name: str, shape: tuple[int, ...]) -> str:
    """Why an array cannot be the gradient of a parameter of that shape, if it cannot."""
    if gradient is None:
        return f"there is no gradient of {name!r}"
    if gradient.shape != shape:
        return f"the gradient of {name!r} has the shape {list(gradient.shape)}; the parameter has {list(shape)}"
    return "" if numpy.isfinite(gradient).all() else f"the gradient of {name!r} is not finite"


def _slope_allowance(slope: Slope, gradients: Arrays) -> float:
    floor = SLOPE_FLOOR if slope.plain else BALANCED_FLOOR
    return min(SLOPE_TOLERANCE, max(floor, SLOPE_FACTOR * slope.rounding / slopes.typical(slope, gradients)))


def check_steps(finding: Finding, program: Program, walk: Walk) -> None:
    """Weights after each step against the optimizer's formula on the adapter's own gradients, element by element."""
    assert program.training is not None
    recipe = program.training.optimizer
    worst = [(0.0, "")] * len(walk.gradients)
    for name in program.training.parameters:
        if not all(name in arrays for arrays in (*walk.weights, *walk.gradients)):
            finding.object(f"parameter {name!r} is not trained")
            continue
        weights = [numpy.asarray(arrays[name]).reshape(-1) for arrays in walk.weights]
        gradients = [numpy.asarray(arrays[name]).reshape(-1) for arrays in walk.gradients]
        slack = [ROUNDING_FACTOR * _EPSILON * float(numpy.abs(g).max(initial=0.0)) for g in gradients]
        for begin in range(0, weights[0].size, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            shares = step_shares(recipe, [w[part] for w in weights], [g[part] for g in gradients], slack)
            worst = [old if share <= old[0] else (share, name) for old, share in zip(worst, shares, strict=True)]
    finding.facts["step_error"] = max(share for share, _ in worst)
    for number, (share, name) in enumerate(worst, 1):
        if not share <= 1:
            finding.object(
                f"after step {number} {name!r} is not where {recipe.op} puts it: "
                f"off by {share:.2g} times what rounding allows"
            )
            break


def step_shares(
    recipe: Optimizer, weights: list[numpy.ndarray], gradients: list[numpy.ndarray], slack: list[float]
) -> list[float]:
    """By how much some elements miss the optimizer's formula after each step, in units of what float32 allows.

    weights: before the first step and after each. gradients: at each of those weights but the last. slack: how far off
    a gradient may be. Allowed are the rounding of the stored weight, that of the step, and what the slack of any one of
    the gradients so far does to the formula.
    """
    exact = [array.astype(numpy.float64) for array in weights]
    state = optimizers.zero_state(recipe, exact[0])
    shifted: list[tuple[numpy.ndarray, ...]] = []
    shares = []
    for made, gradient in enumerate(gradients):
        before, after, slope = exact[made], exact[made + 1], gradient.astype(numpy.float64)
        right, following = optimizers.step(recipe, made, before, slope, state)
        others = [optimizers.step(recipe, made, before, slope, old) for old in shifted]
        others.append(optimizers.step(recipe, made, before, slope + slack[made], state))
        allowed = 2 * _EPSILON * numpy.maximum(numpy.abs(before), numpy.abs(after))
        allowed += ROUNDING_FACTOR * _EPSILON * numpy.abs(right - before) + float(numpy.finfo(numpy.float32).tiny)
        for other, _ in others:
            allowed += numpy.abs(other - right)
        shares.append(float((numpy.abs(after - right) / allowed).max(initial=0.0)))
        state, shifted = following, [kept for _, kept in others]
    return shares


def check_updates(finding: Finding, program: Program, after: Arrays, reference: Reference) -> None:
    """Running statistics after one step against the reference at the weights before it."""
    assert program.training is not None
    for name, source in program.training.updates.items():
        error = relative_error(after[name], reference.outputs[source]) if name in after else math.inf
        allowed = max(FLOOR, ROUNDING_FACTOR * reference.rounding[source])
        finding.facts["update_error"] = max(finding.facts.get("update_error", 0.0), error)
        if not error <= allowed:
            finding.object(
                f"after one step {name!r} is off by {error:.2g} of its largest value; {allowed:.2g} is allowed"
            )


def check_curves(findings: Mapping[str, Finding], curves: Mapping[str, list[float]], rounding: float) -> None:
    """Losses of the first steps against each other: each cell's curve against the median of all.

    rounding: what float32 does to the first loss, relatively. Each step may add as much as the first may be off by; and
    a loss that has fallen far keeps the rounding of the numbers it is the difference of, which are of the first's size.
    """
    sound = {cell: curve for cell, curve in curves.items() if not findings[cell].reason}
    if not sound:
        return
    middle = [statistics.median(losses) for losses in zip(*sound.values(), strict=True)]
    unit = max(FLOOR, ROUNDING_FACTOR * rounding)
    for cell, curve in sound.items():
        errors = [abs(a - b) / max(abs(b), abs(middle[0]), 1e-30) for a, b in zip(curve, middle, strict=True)]
        findings[cell].facts["loss_disagreement"] = max(errors)
        for step, (loss, others) in enumerate(zip(curve, middle, strict=True), 1):
            allowed = unit * max(step * abs(others), abs(middle[0]))
            if not abs(loss - others) <= allowed:
                findings[cell].object(
                    f"its loss at step {step} is {loss:.6g}, the others' median {others:.6g} ({allowed:.2g} is allowed)"
                )
                break


def read(path: str) -> Arrays:
    """Arrays that a worker wrote."""
    return arrays.read_arrays(path)
