"""Inputs for a Program, from a seed: values that exercise it, and that every framework accepts."""

from __future__ import annotations

import numpy
from onnx import helper

from harness.kit import Node, Program, Tensor
from harness.spec import elements

#: Integers are drawn from [0, this) where nothing in the Program says what they may be.
DEFAULT_INTEGERS = 2

#: Operators that hand integers on unchanged.
_PASS_ON = {"Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"}


def make(program: Program, seed: int) -> dict[str, numpy.ndarray]:
    """One array for each input, in the ONNX layout.

    Floats are standard normal; integers are uniform over what the operators that read them can index (classes of a
    loss, rows of an embedding); booleans are fair coins. The same seed and input name give the same values.
    """
    readers = _readers(program)
    arrays = {}
    for position, tensor in enumerate(program.inputs):
        generator = numpy.random.Generator(numpy.random.PCG64([seed, position]))
        arrays[tensor.name] = _draw(generator, tensor, _limit(program, readers, tensor.name))
    return arrays


def _draw(generator: numpy.random.Generator, tensor: Tensor, limit: int) -> numpy.ndarray:
    dtype = helper.tensor_dtype_to_np_dtype(elements.number_of(tensor.dtype))
    if dtype.kind == "b":
        return generator.integers(0, 2, tensor.shape).astype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0, limit, tensor.shape).astype(dtype)
    return generator.standard_normal(tensor.shape).astype(dtype)


def _readers(program: Program) -> dict[str, list[tuple[Node, int]]]:
    readers: dict[str, list[tuple[Node, int]]] = {}
    for node in program.nodes:
        for position, name in enumerate(node.inputs):
            readers.setdefault(name, []).append((node, position))
    return readers


def _limit(program: Program, readers: dict[str, list[tuple[Node, int]]], name: str) -> int:
    """How many different integers an input may hold: the least that any operator reading it can index."""
    limits, waiting, seen = [], [name], {name}
    while waiting:
        for node, position in readers.get(waiting.pop(), []):
            if node.op in _PASS_ON:
                waiting += [output for output in node.outputs if output not in seen]
                seen.update(node.outputs)
            shape = program.tensors[node.inputs[0]].shape
            if position == 1 and node.op in ("Gather", "GatherElements"):
                limits.append(shape[node.attributes.get("axis", 0)])
            elif position == 1 and node.op in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
                limits.append(shape[1])
            elif position == 0 and node.op == "OneHot" and isinstance(node.attributes.get("depth"), int):
                limits.append(node.attributes["depth"])
    return min(limits, default=DEFAULT_INTEGERS)
