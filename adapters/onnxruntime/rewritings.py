"""Operators as ONNX Runtime's gradient builder wants them.

Only operators are rewritten whose gradient wants something that the inference operator does not give, or whose gradient
is wrong as it stands. Each rewriting computes exactly the same outputs.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy
from onnx import NodeProto, helper

from ..kit.interface import Unsupported
from ..kit.program import Node, Program
from .writer import MICROSOFT, Writer

#: Appends what stands for a node, or returns False to keep the node as it is now.
Rewriting = Callable[[Writer, NodeProto, Program], bool]


def _attributes(node: NodeProto) -> Dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _call(node: NodeProto, program: Program) -> Node:
    """The Program's node that a node of the file was written from: it has steering operands as attributes."""
    return next(call for call in program.nodes if call.outputs == tuple(node.output))


def _outputs(writer: Writer, node: NodeProto, count: int) -> List[str]:
    """All outputs of a node, those that the Program does not want under names of our own."""
    given = list(node.output) + [""] * (count - len(node.output))
    return [name or writer.name(f"{node.op_type}/{i}") for i, name in enumerate(given)]


# workaround: the gradient needs the batch statistics, which only BatchNormInternal gives.
def _batch_normalization(writer: Writer, node: NodeProto, program: Program) -> bool:
    attributes = _attributes(node)
    if not attributes.get("training_mode"):
        return False
    outputs = _outputs(writer, node, 5)
    writer.node("BatchNormInternal", node.input, outputs, node.name, domain=MICROSOFT, **attributes)
    return True


# workaround: the gradients of convolution and pooling read auto_pad as if it were no padding.
def _explicit_pads(writer: Writer, node: NodeProto, program: Program) -> bool:
    attributes = _attributes(node)
    mode = attributes.pop("auto_pad", b"NOTSET")
    if mode == b"NOTSET":
        return False
    attributes.pop("pads", None)
    extents = program.tensors[node.input[0]].shape[2:]
    kernel = attributes.get("kernel_shape") or program.tensors[node.input[1]].shape[2:]
    ones = [1] * len(extents)
    if mode != b"VALID":
        results = program.tensors[node.output[0]].shape[2:]
        strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
        sizes = zip(extents, results, kernel, strides, dilations)
        totals = [max(0, (out - 1) * stride + (k - 1) * apart + 1 - size) for size, out, k, stride, apart in sizes]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        attributes["pads"] = less + more if mode == b"SAME_UPPER" else more + less
    writer.node(node.op_type, node.input, node.output, node.name, **attributes)
    return True


# workaround: the gradient reads the optional outputs, so they must be there.
def _all_outputs(count: int) -> Rewriting:
    def rewrite(writer: Writer, node: NodeProto, program: Program) -> bool:
        outputs = _outputs(writer, node, count)
        writer.node(node.op_type, node.input, outputs, node.name, **_attributes(node))
        return True

    return rewrite


def _average_pool(writer: Writer, node: NodeProto, program: Program) -> bool:
    if any(apart != 1 for apart in _attributes(node).get("dilations", ())):
        raise Unsupported("ONNX Runtime's gradient forgets the dilations", "AveragePool", node.name)
    if _attributes(node).get("ceil_mode"):
        raise Unsupported("ONNX Runtime's gradient is wrong with ceil_mode", "AveragePool", node.name)
    return _explicit_pads(writer, node, program)


def _max_pool(writer: Writer, node: NodeProto, program: Program) -> bool:
    for key in ("ceil_mode", "storage_order"):
        if _attributes(node).get(key):
            raise Unsupported(f"ONNX Runtime's gradient is wrong with {key}=1", "MaxPool", node.name)
    return _explicit_pads(writer, node, program)


def _scatter(writer: Writer, node: NodeProto, program: Program) -> bool:
    reduction = _attributes(node).get("reduction", b"none")
    if reduction != b"none":
        raise Unsupported(f"ONNX Runtime's gradient ignores reduction={reduction!r}", node.op_type, node.name)
    return False


def _slice(writer: Writer, node: NodeProto, program: Program) -> bool:
    call = _call(node, program)
    if any(step < 0 for step in call.attributes.get("steps", ())):
        raise Unsupported("ONNX Runtime's gradient fails for negative steps", "Slice", node.name)
    return False


# workaround: the gradient takes pads for some axes as pads for all.
def _pad(writer: Writer, node: NodeProto, program: Program) -> bool:
    given = _call(node, program).attributes
    if "axes" not in given or "pads" not in given:
        return False
    rank = len(program.tensors[node.input[0]].shape)
    pads, count = [0] * (2 * rank), len(given["axes"])
    for position, axis in enumerate(given["axes"]):
        pads[axis % rank] = given["pads"][position]
        pads[axis % rank + rank] = given["pads"][position + count]
    node.input[1] = writer.constant(pads, "int64")
    del node.input[3:]
    return False


def _is_nan(writer: Writer, node: NodeProto, program: Program) -> bool:
    raise Unsupported("the NaN that it finds is a NaN in ONNX Runtime's gradient too", "IsNaN", node.name)


# workaround: the gradient scales by the ratio even where nothing is dropped.
def _dropout(writer: Writer, node: NodeProto, program: Program) -> bool:
    if len(node.input) < 3 and len(node.output) < 2:
        writer.op("Identity", [node.input[0]], node.output[0])
        return True
    return _all_outputs(2)(writer, node, program)


# workaround: the gradient wants a bias.
def _layer_normalization(writer: Writer, node: NodeProto, program: Program) -> bool:
    if len(node.input) < 3 or not node.input[2]:
        scale = program.tensors[node.input[1]]
        node.input.extend([""] * (3 - len(node.input)))
        node.input[2] = writer.zeros(scale.shape, scale.dtype)
    return _all_outputs(3)(writer, node, program)


# workaround: Sum has no gradient, Add has one.
def _sum(writer: Writer, node: NodeProto, program: Program) -> bool:
    *others, last = node.input
    if not others:
        writer.op("Identity", [last], node.output[0])
        return True
    total = others[0]
    for name in others[1:]:
        total = writer.op("Add", [total, name])
    writer.op("Add", [total, last], node.output[0])
    return True


# workaround: the gradient of Where is not summed over what was broadcast, that of Expand is.
def _where(writer: Writer, node: NodeProto, program: Program) -> bool:
    finite = _finite_softmax(writer, node, program)
    shape = program.tensors[node.output[0]].shape
    for position in (1, 2):
        if program.tensors[node.input[position]].shape != shape:
            extents = writer.constant(list(shape), "int64")
            node.input[position] = writer.op("Expand", [node.input[position], extents])
    node.input[2] = finite or node.input[2]
    return False


# workaround: Softmax of a row of -inf is NaN, and so is its gradient even where the output is replaced afterwards; the
# condition of the replacement is put before the Softmax too.
def _finite_softmax(writer: Writer, node: NodeProto, program: Program) -> str:
    """For the third operand of a Where, if it is a Softmax, cast or not: one that is finite in the rows replaced."""
    makers = {output: call for call in program.nodes for output in call.outputs}
    name, casts = node.input[2], []
    while name in makers and makers[name].op == "Cast":
        casts.append(makers[name].attributes["to"])
        name = makers[name].inputs[0]
    if name not in makers or makers[name].op != "Softmax" or program.tensors[node.input[0]].shape[-1:] != (1,):
        return ""
    scores = program.tensors[makers[name].inputs[0]]
    shown = writer.op("Where", [node.input[0], writer.constant(0, scores.dtype), scores.name])
    value = writer.op("Softmax", [shown], axis=makers[name].attributes.get("axis", -1))
    for dtype in reversed(casts):
        value = writer.op("Cast", [value], to=helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype)))
    return value


# workaround: Gelu's gradient is that of the exact form even where the tanh approximation is asked for.
def _gelu(writer: Writer, node: NodeProto, program: Program) -> bool:
    if _attributes(node).get("approximate", b"none") != b"tanh":
        return False
    writer.op("FastGelu", node.input, node.output[0], domain=MICROSOFT)
    return True


# workaround: Split's gradient forgets the outputs that the loss does not depend on.
def _split(writer: Writer, node: NodeProto, program: Program) -> bool:
    axis = _attributes(node).get("axis", 0)
    sizes, start = _call(node, program).attributes["split"], 0
    for name, size in zip(node.output, sizes):
        if name:
            bounds = [writer.constant([bound], "int64") for bound in (start, start + size, axis)]
            writer.op("Slice", [node.input[0], *bounds], name)
        start += size
    return True


# workaround: only LSTMTraining keeps what the gradient needs, and it wants bias and first states given.
def _lstm(writer: Writer, node: NodeProto, program: Program) -> bool:
    attributes = _attributes(node)
    inputs = list(node.input) + [""] * (8 - len(node.input))
    _refuse_lstm(node, attributes, inputs)
    weights, batch = program.tensors[inputs[1]], program.tensors[inputs[0]].shape[1]
    directions, gates = weights.shape[0], weights.shape[1]
    state = (directions, batch, gates // 4)
    inputs[3] = inputs[3] or writer.zeros((directions, 2 * gates), weights.dtype)
    inputs[5] = inputs[5] or writer.zeros(state, weights.dtype)
    inputs[6] = inputs[6] or writer.zeros(state, weights.dtype)
    outputs = _outputs(writer, node, 5)
    writer.node("LSTMTraining", inputs[:7], outputs, node.name, domain=MICROSOFT, hidden_size=gates // 4)
    return True


def _refuse_lstm(node: NodeProto, attributes: Dict[str, Any], inputs: List[str]) -> None:
    """The gradient of LSTMTraining knows the plain forward LSTM only."""
    plain = {"direction": b"forward", "layout": 0, "input_forget": 0, "clip": None}
    for key, value in plain.items():
        if attributes.get(key, value) != value:
            raise Unsupported(f"ONNX Runtime has no gradient for {key}={attributes[key]!r}", "LSTM", node.name)
    activations = attributes.get("activations", [b"Sigmoid", b"Tanh", b"Tanh"])
    if [name.lower() for name in activations] != [b"sigmoid", b"tanh", b"tanh"]:
        raise Unsupported("ONNX Runtime has no gradient for other activations", "LSTM", node.name)
    for position, what in ((4, "sequence_lens"), (7, "peepholes")):
        if inputs[position]:
            raise Unsupported(f"ONNX Runtime has no gradient for {what}", "LSTM", node.name)


#: A Split is rewritten only where its gradient would be wrong.
REWRITINGS: Dict[str, Rewriting] = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Dropout": _dropout,
    "Conv": _explicit_pads,
    "IsNaN": _is_nan,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Pad": _pad,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Slice": _slice,
    "Sum": _sum,
    "Where": _where,
    "SoftmaxCrossEntropyLoss": _all_outputs(2),
    "Gelu": _gelu,
    "Split": _split,
    "LSTM": _lstm,
}
