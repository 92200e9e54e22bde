"""The arithmetic floor of a Program: parameters, activations, floating-point operations and bytes.

Counted from shapes alone, so the same for every framework: what any of them must at least compute and keep.
A multiply and an add are two operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.kit import Node, Program, Training, arrays
from harness.spec.backward import GATES, Gradients, recurrent_extents
from harness.spec.liveness import floor
from harness.spec.traffic import traffic

__all__ = ["Cost", "cost", "floor", "node_flops", "step_flops", "traffic"]

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

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")

#: Operations per parameter of ONNX's optimizers (docs/architecture.md has the formulas), without norm_coefficient.
_OPTIMIZER_FLOPS = {"Momentum": 5, "Adam": 12, "Adagrad": 7}


@dataclass(frozen=True)
class Cost:
    """What one pass of a Program needs; where it trains, one step, as far as that is said here.

    parameters: trained elements, or all weights of an inference Program. flops: of one forward pass. step_flops: of one
    training step; `flops` where none trains. activation_bytes: every tensor that a node makes. weight_bytes: every
    initializer. traffic_bytes: what must at least be moved (`spec.traffic`). floor_bytes: what must at least lie in
    memory at one moment, and its parts live_bytes (of what nodes make), gradient_bytes, optimizer_bytes and
    input_bytes, each at its own largest (`spec.liveness`).
    """

    parameters: int
    flops: int
    activation_bytes: int
    weight_bytes: int
    step_flops: int
    traffic_bytes: int
    floor_bytes: int
    live_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    input_bytes: int


def cost(program: Program) -> Cost:
    """Count what a Program needs. Takes time linear in its nodes."""
    counted = program.training.parameters if program.training else [t.name for t in program.initializers]
    made = [name for node in program.nodes for name in node.outputs if name]
    least = floor(program)
    return Cost(
        parameters=sum(_elements(program, name) for name in counted),
        flops=sum(node_flops(program, node) for node in program.nodes),
        activation_bytes=sum(_bytes(program, name) for name in made),
        weight_bytes=sum(_bytes(program, tensor.name) for tensor in program.initializers),
        step_flops=step_flops(program),
        traffic_bytes=traffic(program).total_bytes,
        floor_bytes=least.total_bytes,
        live_bytes=least.activation_bytes,
        gradient_bytes=least.gradient_bytes,
        optimizer_bytes=least.optimizer_bytes,
        input_bytes=least.input_bytes,
    )


def step_flops(program: Program) -> int:
    """Floating-point operations of one step: forward, backward, and the optimizer; the pass alone where none trains.

    Back through a product (Conv, ConvTranspose, Gemm, MatMul) goes one product of the forward one's size for each
    operand whose gradient is wanted: two as a rule, one in the first layer. Back through other operators go as many
    operations as forth.
    """
    forward = sum(node_flops(program, node) for node in program.nodes)
    if program.training is None:
        return forward
    gradients = Gradients(program)
    passed = [node for node in program.nodes if gradients.passes(node)]
    backward = sum(_backward_flops(program, node, gradients) for node in passed)
    return forward + backward + _optimizer_flops(program, program.training)


def _backward_flops(program: Program, node: Node, gradients: Gradients) -> int:
    forward = node_flops(program, node)
    if node.op in _PRODUCTS:
        return forward * sum(map(gradients.wanted, node.inputs[:2]))
    if node.op in GATES:
        return _recurrent_backward_flops(program, node, gradients, forward)
    return forward


def _recurrent_backward_flops(program: Program, node: Node, gradients: Gradients, forward: int) -> int:
    """Gradients of X and W take a product with the input's width each, those of R and of every state one with the
    state's."""
    _, rows, width = program.tensors[node.inputs[1]].shape
    hidden = rows // GATES[node.op]
    of_input = sum(map(gradients.wanted, node.inputs[:2]))
    of_state = 1 + gradients.wanted(node.inputs[2])
    return forward * (of_input * width + of_state * hidden) // (width + hidden)


def _optimizer_flops(program: Program, training: Training) -> int:
    each = _OPTIMIZER_FLOPS[training.optimizer.op] + (2 if training.optimizer.attributes.get("norm_coefficient") else 0)
    return each * sum(_elements(program, name) for name in training.parameters)


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
    if node.op in GATES:
        return _recurrent_flops(program, node)
    if node.op in ("MaxPool", "AveragePool", "LpPool"):
        return result * arrays.element_count(node.attributes["kernel_shape"])
    if node.op in _PER_INPUT_ELEMENT:
        return _PER_INPUT_ELEMENT[node.op] * math.prod(shape)
    return max(result, math.prod(shape))


def _recurrent_flops(program: Program, node: Node) -> int:
    steps, batch, _ = recurrent_extents(program, node)
    directions, rows, width = program.tensors[node.inputs[1]].shape
    hidden = rows // GATES[node.op]
    return 2 * steps * batch * directions * rows * (width + hidden)


def _elements(program: Program, name: str) -> int:
    return arrays.element_count(program.tensors[name].shape)


def _bytes(program: Program, name: str) -> int:
    return _elements(program, name) * arrays.carrier(program.tensors[name].dtype).itemsize
