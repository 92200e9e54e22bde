"""Models of one node, made from an operator's schema: what ONNX Runtime says of them tells what it can do.

Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

from . import protobuf
from .protobuf import Field, data, text, write

_FLOAT_TENSOR = 1

#: The element types that trials use, best first, with ONNX's numbers.
_TYPES = {"tensor(float)": _FLOAT_TENSOR, "tensor(int64)": 7, "tensor(bool)": 9}

_FLOAT, _INT, _STRING, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 6, 7, 8

#: A value for an attribute that must be given: its AttributeType, the field that holds it, and its bytes.
_VALUES = {
    "FLOAT": (_FLOAT, b"\x15\x00\x00\x80\x3f"),
    "INT": (_INT, b"\x18\x01"),
    "STRING": (_STRING, b"\x22\x01a"),
    "FLOATS": (_FLOATS, b"\x3d\x00\x00\x80\x3f"),
    "INTS": (_INTS, b"\x40\x01"),
    "STRINGS": (_STRINGS, b"\x4a\x01a"),
}


class Trial(NamedTuple):
    """model: a serialised ModelProto. inputs: its float inputs. outputs: its float outputs."""

    model: bytes
    inputs: List[str]
    outputs: List[str]


def trial(schema: Any, opset: int) -> Optional[Trial]:
    """A model with one node of this schema, all optional operands left out; None where types or attributes forbid."""
    inputs = [_kind(parameter) for parameter in schema.inputs if "Optional" not in str(parameter.option)]
    outputs = [_kind(parameter) for parameter in schema.outputs if "Optional" not in str(parameter.option)]
    required = {name: _type_name(a) for name, a in schema.attributes.items() if a.required}
    if None in inputs or None in outputs or not set(required.values()) <= set(_VALUES):
        return None
    given, made = [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(len(outputs))]
    node = [*(text(1, name) for name in given), *(text(2, name) for name in made), text(4, schema.name)]
    node += [data(5, _attribute(name, kind)) for name, kind in required.items()]
    graph = [data(1, write(node)), text(2, "trial")]
    graph += [data(11, _value(name, kind)) for name, kind in zip(given, inputs)]
    graph += [data(12, _value(name, kind)) for name, kind in zip(made, outputs)]
    return Trial(_model(graph, opset), _floats(given, inputs), _floats(made, outputs))


def product() -> bytes:
    """A model of one node: two vectors, "a" and "b", of any length to their elementwise product, "ab"."""
    node = [text(1, "a"), text(1, "b"), text(2, "ab"), text(4, "Mul")]
    graph = [data(1, write(node)), text(2, "product")]
    graph += [data(field, _value(name, _FLOAT_TENSOR)) for field, name in ((11, "a"), (11, "b"), (12, "ab"))]
    return _model(graph, opset=21)


def _model(graph: List[Field], opset: int) -> bytes:
    opset_id = write([protobuf.number(2, opset)])
    return write([protobuf.number(1, 10), data(7, write(graph)), data(8, opset_id)])


def _kind(parameter: Any) -> Optional[int]:
    return next((number for name, number in _TYPES.items() if name in parameter.types), None)


def _type_name(attribute: Any) -> str:
    return str(attribute.type).rsplit(".", 1)[-1]


def _floats(names: List[str], kinds: List[int]) -> List[str]:
    return [name for name, kind in zip(names, kinds) if kind == _FLOAT_TENSOR]


def _attribute(name: str, type_name: str) -> bytes:
    number, value = _VALUES[type_name]
    return write([text(1, name)]) + value + write([protobuf.number(20, number)])


def _value(name: str, kind: int) -> bytes:
    tensor = write([protobuf.number(1, kind)])
    return write([text(1, name), data(2, write([data(1, tensor)]))])
