"""Element types: ONNX's numbers for them and the names that Programs use."""

from __future__ import annotations

from onnx import TensorProto

_NUMPY_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
_ONNX_NAMES = {name: onnx_name for onnx_name, name in _NUMPY_NAMES.items()}


def name_of(element_type: int) -> str:
    """numpy's name of an ONNX element type; ONNX's own in lower case where numpy has none ("bfloat16")."""
    name: str = TensorProto.DataType.Name(element_type)
    return _NUMPY_NAMES.get(name, name.lower())


def number_of(name: str) -> int:
    """ONNX's number of an element type, the inverse of `name_of`."""
    return int(TensorProto.DataType.Value(_ONNX_NAMES.get(name, name.upper())))
