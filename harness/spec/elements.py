"""Element types: ONNX's numbers for them and the names that Programs use (`kit.arrays.name_of` names numpy's)."""

from __future__ import annotations

import numpy
from onnx import TensorProto, helper

from harness.kit import Tensor

_NUMPY_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
_ONNX_NAMES = {name: onnx_name for onnx_name, name in _NUMPY_NAMES.items()}

#: Types of which ONNX packs several elements into a byte.
_PACKED = {"int4", "uint4", "float4e2m1", "int2", "uint2"}


def name_of(element_type: int) -> str:
    """numpy's name of an ONNX element type; ONNX's own in lower case where numpy has none ("bfloat16")."""
    name: str = TensorProto.DataType.Name(element_type)
    return _NUMPY_NAMES.get(name, name.lower())


def number_of(name: str) -> int:
    """ONNX's number of an element type, the inverse of `name_of`."""
    return int(TensorProto.DataType.Value(_ONNX_NAMES.get(name, name.upper())))


def type_of(name: str, array: numpy.ndarray) -> Tensor:
    """The type of an array, under a name."""
    return Tensor(name, name_of(helper.np_dtype_to_tensor_dtype(array.dtype)), array.shape)


def is_packed(name: str) -> bool:
    return name in _PACKED
