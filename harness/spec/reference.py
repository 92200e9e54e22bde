"""What the right answers are: the Program evaluated by onnx.reference in float64, and how far float32 is from it.

The reference belongs to no framework. Its error bars are measured, not chosen: the same evaluation in float32 says how
far rounding alone carries an honest answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy
import scipy.special
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from harness.kit import Node, Program, Tensor
from harness.spec.to_onnx import to_onnx

Arrays = dict[str, numpy.ndarray]

#: Step of the central differences. In float64 their rounding error is near 1e-8 of the loss; what the kinks of Relu,
#: Clip and MaxPool add grows with the step: it was several thousandths of a slope at 1e-5 in a deep network.
_DIFFERENCE_STEP = 1e-8

#: Standard deviation of what `nudged` adds to each parameter.
_NUDGE = 0.01


class Erf(OpRun):
    """onnx.reference computes Erf in float32 whatever its input is; SciPy's is right in float64."""

    op_domain = ""

    def _run(self, x: numpy.ndarray) -> tuple[numpy.ndarray]:
        return (scipy.special.erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """ONNX Gelu-20, whose function body would take onnx.reference's Erf."""

    op_domain = ""

    def _run(self, x: numpy.ndarray, approximate: str = "none") -> tuple[numpy.ndarray]:
        if approximate == "tanh":
            inner = numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3))
        else:
            inner = scipy.special.erf(x / numpy.sqrt(2.0))
        return ((0.5 * x * (1 + inner)).astype(x.dtype),)


@dataclass(frozen=True)
class Reference:
    """outputs: float64 outputs by name. rounding: per output, the relative error of the float32 evaluation."""

    outputs: Arrays
    rounding: dict[str, float]


@dataclass(frozen=True)
class Slope:
    """The derivative of the loss along one random direction, by central differences in float64.

    direction: per parameter, a random array of norm 1. value: the derivative.
    """

    direction: Arrays
    value: float


def evaluate(program: Program, inputs: Arrays) -> Reference:
    """Outputs of a Program for some inputs, and what float32 rounding does to them."""
    exact = _run(_in_float64(program), _as_float64(inputs))
    rounded = _run(program, inputs)
    return Reference(exact, {name: relative_error(rounded[name], exact[name]) for name in exact})


def relative_error(values: numpy.ndarray, reference: numpy.ndarray) -> float:
    """Largest absolute difference over the largest absolute reference value; infinite where shapes differ or a value
    is not finite that should be."""
    values, reference = numpy.asarray(values), numpy.asarray(reference)
    if values.shape != reference.shape:
        return float("inf")
    if reference.size == 0:
        return 0.0
    finite = numpy.isfinite(reference.astype(numpy.float64))
    left, right = values.astype(numpy.float64), reference.astype(numpy.float64)
    if not numpy.array_equal(left[~finite], right[~finite], equal_nan=True) or not numpy.isfinite(left[finite]).all():
        return float("inf")
    scale = max(float(numpy.abs(right[finite]).max(initial=0.0)), float(numpy.finfo(numpy.float32).tiny))
    return float(numpy.abs(left[finite] - right[finite]).max(initial=0.0)) / scale


def nudged(program: Program, seed: int) -> Arrays:
    """Parameters a little away from their first values, in float32.

    Gradients are checked there: at first, many networks sit exactly on the kinks of their Relus (zero biases behind
    constant channels), where every value between two slopes is a right derivative.
    """
    assert program.training is not None
    generator = numpy.random.Generator(numpy.random.PCG64([seed, 2**32]))
    moved = {}
    for name in program.training.parameters:
        weights = numpy.asarray(program.weights[name])
        moved[name] = (weights + _NUDGE * generator.standard_normal(weights.shape)).astype(weights.dtype)
    return moved


def slopes(program: Program, inputs: Arrays, count: int, seed: int) -> list[Slope]:
    """Derivatives of a training Program's loss along random directions through all its `nudged` parameters."""
    assert program.training is not None
    here = replace(program, weights={**program.weights, **nudged(program, seed)})
    exact, feeds = _in_float64(here), _as_float64(inputs)
    found = []
    for index in range(count):
        towards = direction(program, seed, index)
        ahead, behind = (_loss_at(exact, feeds, towards, sign * _DIFFERENCE_STEP) for sign in (1, -1))
        found.append(Slope(towards, (ahead - behind) / (2 * _DIFFERENCE_STEP)))
    return found


def direction(program: Program, seed: int, index: int) -> Arrays:
    """The random direction of one slope: per parameter, a normal array scaled to norm 1."""
    assert program.training is not None
    generator = numpy.random.Generator(numpy.random.PCG64([seed, index]))
    towards = {}
    for name in program.training.parameters:
        array = generator.standard_normal(program.tensors[name].shape)
        towards[name] = array / max(float(numpy.linalg.norm(array)), 1e-300)
    return towards


def slope_error(slope: Slope, gradients: Arrays) -> float:
    """How far gradients are from the measured slope, in units of the slope that such gradients have typically.

    A direction of norm 1 in a tensor of n elements meets a gradient g with a standard deviation of |g|/sqrt(n).
    """
    missing = slope.direction.keys() - gradients.keys()
    if missing:
        return float("inf")
    found = sum(float(numpy.vdot(gradients[name].astype(numpy.float64), u)) for name, u in slope.direction.items())
    variance = sum(
        float(numpy.square(gradients[name], dtype=numpy.float64).sum()) / max(1, u.size)
        for name, u in slope.direction.items()
    )
    return abs(found - slope.value) / max(math.sqrt(variance), float(numpy.finfo(numpy.float32).tiny))


def _loss_at(program: Program, inputs: Arrays, towards: Arrays, distance: float) -> float:
    assert program.training is not None
    moved = {name: program.weights[name] + distance * array for name, array in towards.items()}
    outputs = _run(replace(program, weights={**program.weights, **moved}), inputs)
    return float(numpy.asarray(outputs[program.training.loss]).reshape(()))


def _run(program: Program, inputs: Arrays) -> Arrays:
    evaluator = ReferenceEvaluator(to_onnx(program, weights_as_inputs=True), new_ops=[Erf, Gelu])
    names = [tensor.name for tensor in program.outputs]
    feeds = {name: numpy.asarray(array) for name, array in {**program.weights, **inputs}.items()}
    return dict(zip(names, evaluator.run(names, feeds), strict=True))


def _as_float64(arrays: Arrays) -> Arrays:
    return {name: a.astype(numpy.float64) if a.dtype == numpy.float32 else a for name, a in arrays.items()}


def _in_float64(program: Program) -> Program:
    """The same Program with every float32 a float64."""

    def widen(tensor: Tensor) -> Tensor:
        return replace(tensor, dtype="float64") if tensor.dtype == "float32" else tensor

    return replace(
        program,
        inputs=tuple(map(widen, program.inputs)),
        outputs=tuple(map(widen, program.outputs)),
        initializers=tuple(map(widen, program.initializers)),
        tensors={name: widen(tensor) for name, tensor in program.tensors.items()},
        nodes=tuple(replace(node, attributes=_widened(node)) for node in program.nodes),
        weights=_as_float64(program.weights),
    )


def _widened(node: Node) -> dict[str, Any]:
    attributes = dict(node.attributes)
    for key, value in attributes.items():
        if isinstance(value, numpy.ndarray) and value.dtype == numpy.float32:
            attributes[key] = value.astype(numpy.float64)
        elif value == "float32" and key in ("to", "dtype"):
            attributes[key] = "float64"
    return attributes
