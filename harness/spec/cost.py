"""The arithmetic floor of a Program: parameters, activations, floating-point operations and bytes.

Counted from shapes alone, so the same for every framework: what any of them must at least compute and keep.
A multiply and an add are two operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.kit import Node, Program, arrays

#: Operators that move or rename data and compute nothing.
_FREE = {
    "Cast", "Concat", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip

#: Operations per element of the first input, for operators that do more than one.
_PER_INPUT_ELEMENT = {
    "BatchNormalization": 2,
    "GroupNormalization": 8,
    "InstanceNormalization": 8,
    "LayerNormalization": 8,
    "LogSoftmax": 5,
    "Softmax": 5,
    "SoftmaxCrossEntropyLoss": 5,
}

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Cost:
    """parameters: trained elements, or all weights of an inference Program. flops: of one forward pass.
    activation_bytes: every tensor that a node makes. weight_bytes: every initializer."""

    parameters: int
    flops: int
    activation_bytes: int
    weight_bytes: int


def cost(program: Program) -> Cost:
    """Count what one forward pass of a Program needs."""
    counted = program.training.parameters if program.training else [t.name for t in program.initializers]
    made = [name for node in program.nodes for name in node.outputs if name]
    return Cost(
        parameters=sum(_elements(program, name) for name in counted),
        flops=sum(node_flops(program, node) for node in program.nodes),
        activation_bytes=sum(_bytes(program, name) for name in made),
        weight_bytes=sum(_bytes(program, tensor.name) for tensor in program.initializers),
    )


def node_flops(program: Program, node: Node) -> int:
    """Floating-point operations of one node.

    Conv: 2 * output elements * input channels per group * kernel elements. MatMul and Gemm: 2 * output elements * inner
    extent. LSTM, GRU, RNN: 2 * steps * batch * directions * gates * hidden * (input + hidden). Pooling: kernel elements
    per output. Others: elements, times a small constant for normalisations and softmax.
    """
    shape = program.tensors[node.inputs[0]].shape if node.inputs and node.inputs[0] else ()
    result = _elements(program, node.outputs[0]) if node.outputs[0] else 0
    if node.op in _FREE:
        return 0
    if node.op == "Conv":
        return 2 * result * math.prod(program.tensors[node.inputs[1]].shape[1:])
    if node.op == "ConvTranspose":
        return 2 * math.prod(shape) * math.prod(program.tensors[node.inputs[1]].shape[1:])
    if node.op == "MatMul":
        return 2 * result * shape[-1]
    if node.op == "Gemm":
        return 2 * result * shape[0 if node.attributes.get("transA") else 1]
    if node.op in _GATES:
        return _recurrent_flops(program, node, shape)
    if node.op in ("MaxPool", "AveragePool", "LpPool"):
        return result * arrays.element_count(node.attributes["kernel_shape"])
    if node.op in _PER_INPUT_ELEMENT:
        return _PER_INPUT_ELEMENT[node.op] * math.prod(shape)
    return max(result, math.prod(shape))


def _recurrent_flops(program: Program, node: Node, shape: tuple[int, ...]) -> int:
    steps, batch = (shape[1], shape[0]) if node.attributes.get("layout") else shape[:2]
    directions, rows, width = program.tensors[node.inputs[1]].shape
    hidden = rows // _GATES[node.op]
    return 2 * steps * batch * directions * rows * (width + hidden)


def _elements(program: Program, name: str) -> int:
    return arrays.element_count(program.tensors[name].shape)


def _bytes(program: Program, name: str) -> int:
    return _elements(program, name) * arrays.carrier(program.tensors[name].dtype).itemsize
