"""A Program written back as an ONNX model: for frameworks that read ONNX themselves, and for the reference."""

from __future__ import annotations

from typing import Any

import numpy
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from harness.kit import Node, Program, Tensor
from harness.spec import elements
from harness.spec.steering import ELEMENT_TYPES, OPERANDS

#: The one scalar operand that has one dimension in ONNX.
_ONE_DIMENSIONAL = {"K"}

#: Operands whose element type is that of the operator's first input.
_OF_INPUT_TYPE = {"constant_value", "max", "min"}

_OPERAND_TYPES = {
    "scales": "float32",
    "roi": "float32",
    "ratio": "float32",
    "training_mode": "bool",
    "iou_threshold": "float32",
    "score_threshold": "float32",
    "lower_edge_hertz": "float32",
    "upper_edge_hertz": "float32",
}

#: The IR version that every ONNX Runtime that the adapters use can read.
_IR_VERSION = 10


def to_onnx(program: Program, weights_as_inputs: bool = False) -> ModelProto:
    """The same model as a ModelProto in the ONNX layout.

    Initializers carry only their type and shape until somebody fills them in (`set_external` does), or are graph
    inputs if `weights_as_inputs`.
    """
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    for node in program.nodes:
        nodes.append(_node(program, node, constants))
    inputs = [_value(tensor) for tensor in program.inputs]
    weights = [
        TensorProto(name=tensor.name, data_type=elements.number_of(tensor.dtype), dims=list(tensor.shape))
        for tensor in program.initializers
    ]
    if weights_as_inputs:
        inputs += [_value(tensor) for tensor in program.initializers]
        weights = []
    graph: GraphProto = helper.make_graph(
        nodes, program.name, inputs, [_value(tensor) for tensor in program.outputs], [*weights, *constants]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", program.opset)])
    model.ir_version = _IR_VERSION if program.opset <= 21 else onnx.IR_VERSION
    return model


def set_external(model: ModelProto, file: str, offsets: dict[str, int], lengths: dict[str, int]) -> None:
    """Point initializers at their bytes in a raw file beside the model; those that hold their values keep them."""
    for tensor in model.graph.initializer:
        if tensor.name in offsets and not tensor.raw_data:
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", file), ("offset", offsets[tensor.name]), ("length", lengths[tensor.name])):
                tensor.external_data.add(key=key, value=str(value))


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, elements.number_of(tensor.dtype), tensor.shape)


def _node(program: Program, node: Node, constants: list[TensorProto]) -> NodeProto:
    """A node with its constant steering operands as inputs again."""
    attributes = dict(node.attributes)
    steering = OPERANDS.get(node.op, {})
    inputs: list[str] = []
    given = list(node.inputs)
    for position in range(max(len(node.inputs) + len(steering), 1 + max(steering, default=0))):
        keyword = steering.get(position)
        if keyword is None:
            inputs.append(given.pop(0) if given else "")
        elif keyword in node.operands:
            inputs.append(node.operands[keyword])
        elif keyword in attributes:
            inputs.append(_operand(program, node, keyword, attributes.pop(keyword), constants))
        else:
            inputs.append("")
    while inputs and not inputs[-1]:
        inputs.pop()
    if node.op == "Range":
        attributes.pop("dtype", None)
    for key in ELEMENT_TYPES & attributes.keys():
        attributes[key] = elements.number_of(attributes[key])
    result = helper.make_node(node.op, inputs, list(node.outputs), node.name, domain=node.domain)
    for key, value in attributes.items():
        result.attribute.append(_attribute(node.op, key, value))
    return result


def _operand(program: Program, node: Node, keyword: str, value: Any, constants: list[TensorProto]) -> str:
    dtype = _OPERAND_TYPES.get(keyword, "int64")
    if node.op == "Range":
        dtype = program.tensors[node.outputs[0]].dtype
    elif keyword in _OF_INPUT_TYPE:
        dtype = program.tensors[node.inputs[0]].dtype
    array = numpy.array(value, helper.tensor_dtype_to_np_dtype(elements.number_of(dtype)))
    if keyword in _ONE_DIMENSIONAL:
        array = array.reshape(1)
    name = f"{node.outputs[0] or node.name}/{keyword}"
    constants.append(numpy_helper.from_array(array, name))
    return name


def _attribute(op: str, key: str, value: Any) -> onnx.AttributeProto:
    if isinstance(value, numpy.ndarray):
        return helper.make_attribute(key, numpy_helper.from_array(value))
    if isinstance(value, list) and not value:
        kind: Any = onnx.defs.get_schema(op).attributes[key].type
        return helper.make_attribute(key, value, attr_type=onnx.AttributeProto.AttributeType.Value(kind.name))
    return helper.make_attribute(key, value)
