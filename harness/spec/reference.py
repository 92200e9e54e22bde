"""What the right answers are: the Program evaluated by onnx.reference in float64, and how far float32 is from it.

The reference belongs to no framework. Its error bars are measured, not chosen: the same evaluation in float32 says how
far rounding alone carries an honest answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy
from onnx.reference import ReferenceEvaluator

from harness.kit import Node, Program, Tensor
from harness.spec.reference_operators import OPERATORS
from harness.spec.to_onnx import to_onnx

Arrays = dict[str, numpy.ndarray]


@dataclass(frozen=True)
class Reference:
    """outputs: float64 outputs by name. rounding: per output, the relative error of the float32 evaluation."""

    outputs: Arrays
    rounding: dict[str, float]


def evaluate(program: Program, inputs: Arrays) -> Reference:
    """Outputs of a Program for some inputs, and what float32 rounding does to them."""
    exact = evaluate_outputs(in_float64(program), as_float64(inputs))
    rounded = evaluate_outputs(program, inputs)
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


def evaluate_outputs(program: Program, inputs: Arrays) -> Arrays:
    """Outputs of a Program in the types that it says."""
    evaluator = ReferenceEvaluator(to_onnx(program, weights_as_inputs=True), new_ops=OPERATORS)
    names = [tensor.name for tensor in program.outputs]
    feeds = {name: numpy.asarray(array) for name, array in {**program.weights, **inputs}.items()}
    return dict(zip(names, evaluator.run(names, feeds), strict=True))


def as_float64(arrays: Arrays) -> Arrays:
    """Arrays with every float32 a float64."""
    return {name: a.astype(numpy.float64) if a.dtype == numpy.float32 else a for name, a in arrays.items()}


def in_float64(program: Program) -> Program:
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
        weights=as_float64(program.weights),
    )


def _widened(node: Node) -> dict[str, Any]:
    attributes = dict(node.attributes)
    for key, value in attributes.items():
        if isinstance(value, numpy.ndarray) and value.dtype == numpy.float32:
            attributes[key] = value.astype(numpy.float64)
        elif value == "float32" and key in ("to", "dtype"):
            attributes[key] = "float64"
    return attributes
