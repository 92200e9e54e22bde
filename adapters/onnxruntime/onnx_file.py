"""The bundle's ONNX file, opened for editing. Field numbers are those of onnx.proto."""

from __future__ import annotations

import struct
from typing import Any, Dict, Iterable, List, Sequence

import numpy

from . import protobuf
from .protobuf import Field, data, number, text

_GRAPH, _OPSETS = 7, 8
_NODES, _INITIALIZERS = 1, 5
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_INPUTS, _OUTPUTS, _NAME, _OP, _ATTRIBUTES, _DOMAIN = 1, 2, 3, 4, 5, 7
_DIMS, _TYPE, _TENSOR_NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14

_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7


class NodeProto:
    """A node of the file. attributes: AttributeProtos as they stand, by name."""

    def __init__(self, message: bytes):
        self.op = self.name = self.domain = ""
        self.inputs: List[str] = []
        self.outputs: List[str] = []
        self.attributes: Dict[str, bytes] = {}
        self._others: List[Field] = []
        for field in protobuf.read(message):
            if field.number == _INPUTS:
                self.inputs.append(field.text())
            elif field.number == _OUTPUTS:
                self.outputs.append(field.text())
            elif field.number == _NAME:
                self.name = field.text()
            elif field.number == _OP:
                self.op = field.text()
            elif field.number == _DOMAIN:
                self.domain = field.text()
            elif field.number == _ATTRIBUTES:
                self.attributes[_name_of(field.value, 1)] = field.value
            else:
                self._others.append(field)

    def serialise(self) -> bytes:
        fields = [text(_INPUTS, name) for name in self.inputs]
        fields += [text(_OUTPUTS, name) for name in self.outputs]
        fields += [text(_NAME, self.name), text(_OP, self.op)]
        fields += [text(_DOMAIN, self.domain)] if self.domain else []
        fields += [data(_ATTRIBUTES, attribute) for attribute in self.attributes.values()]
        return protobuf.write(fields + self._others)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any) -> NodeProto:
    """A new node of ONNX's own domain. Attributes: int, float, str or a list of ints."""
    result = NodeProto(b"")
    result.op, result.name, result.inputs, result.outputs = op, name, list(inputs), list(outputs)
    result.attributes = {key: _attribute(key, value) for key, value in attributes.items()}
    return result


class OnnxFile:
    """A model whose nodes and initializers can be replaced, and whose operator set can be renamed."""

    def __init__(self, content: bytes):
        fields = protobuf.read(content)
        (graph,) = (field.value for field in fields if field.number == _GRAPH)
        self._model = [field for field in fields if field.number not in (_GRAPH, _OPSETS)]
        self._opsets = [protobuf.read(field.value) for field in fields if field.number == _OPSETS]
        parts = protobuf.read(graph)
        self._graph = [field for field in parts if field.number not in (_NODES, _INITIALIZERS)]
        self.nodes = [NodeProto(field.value) for field in parts if field.number == _NODES]
        initializers = [field.value for field in parts if field.number == _INITIALIZERS]
        self.initializers = {_name_of(tensor, _TENSOR_NAME): tensor for tensor in initializers}

    def serialise(self, opset: int) -> bytes:
        """The file with this version of ONNX's own operator set."""
        graph = [data(_NODES, node.serialise()) for node in self.nodes] + self._graph
        graph += [data(_INITIALIZERS, tensor) for tensor in self.initializers.values()]
        opsets = [data(_OPSETS, _opset(fields, opset)) for fields in self._opsets]
        return protobuf.write([*self._model, *opsets, data(_GRAPH, protobuf.write(graph))])

    def embed(self, name: str, raw: bytes) -> None:
        """Move the bytes of an initializer into the file."""
        kept = [f for f in protobuf.read(self.initializers[name]) if f.number not in (_RAW, _EXTERNAL, _LOCATION)]
        self.initializers[name] = protobuf.write([*kept, data(_RAW, raw)])

    def add(self, name: str, element_type: int, array: numpy.ndarray) -> None:
        """Add an initializer. element_type: ONNX's number of it."""
        fields = [number(_DIMS, extent) for extent in array.shape]
        fields += [number(_TYPE, element_type), text(_TENSOR_NAME, name), data(_RAW, array.tobytes())]
        self.initializers[name] = protobuf.write(fields)


def _opset(fields: Iterable[Field], version: int) -> bytes:
    domain = "".join(field.text() for field in fields if field.number == _OPSET_DOMAIN)
    if domain not in ("", "ai.onnx"):
        return protobuf.write(fields)
    return protobuf.write([number(_OPSET_VERSION, version)])


def _name_of(message: bytes, where: int) -> str:
    return next((field.text() for field in protobuf.read(message) if field.number == where), "")


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, int):
        fields, kind = [number(3, value)], _INT
    elif isinstance(value, float):
        fields, kind = [protobuf.fixed32(2, struct.pack("<f", value))], _FLOAT
    elif isinstance(value, str):
        fields, kind = [text(4, value)], _STRING
    else:
        fields, kind = [number(8, item) for item in value], _INTS
    return protobuf.write([text(1, name), *fields, number(20, kind)])
