"""Element types, and arrays as OpenVINO's tensors."""

from __future__ import annotations

import ctypes

import numpy

from openvino import Shape, Tensor, Type

from ..kit import program
from ..kit.arrays import carrier
from ..kit.interface import Unsupported

TYPES = {
    "bool": Type.boolean,
    "float16": Type.f16,
    "float32": Type.f32,
    "float64": Type.f64,
    "bfloat16": Type.bf16,
    "float8e4m3fn": Type.f8e4m3,
    "float8e5m2": Type.f8e5m2,
    "float8e8m0": Type.f8e8m0,
    "int8": Type.i8,
    "int16": Type.i16,
    "int32": Type.i32,
    "int64": Type.i64,
    "uint8": Type.u8,
    "uint16": Type.u16,
    "uint32": Type.u32,
    "uint64": Type.u64,
}


def check(tensor: program.Tensor) -> None:
    """Refuse an input or output whose type cannot cross. Raises `Unsupported`."""
    if tensor.dtype not in TYPES:
        raise Unsupported(f"{tensor.name}: an array of {tensor.dtype} cannot be given to OpenVINO")


def staged(array: numpy.ndarray, tensor: program.Tensor) -> Tensor:
    """An array as a tensor that shares its memory, which has to live as long. Raises ValueError for a wrong shape."""
    if tuple(array.shape) != tensor.shape:
        raise ValueError(f"{tensor.name} has shape {list(tensor.shape)}, not {list(array.shape)}")
    array = numpy.asarray(array, carrier(tensor.dtype), order="C")
    if not array.flags.writeable and array.size:
        # workaround: memory that may not be written is copied instead of shared, though inputs are only read
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        memory.owner = array
        array = numpy.frombuffer(memory, array.dtype).reshape(array.shape)
    return Tensor(array, Shape(tensor.shape), TYPES[tensor.dtype])


def fetched(value: Tensor, tensor: program.Tensor) -> numpy.ndarray:
    """A copy of a tensor as an array."""
    return numpy.array(value.data).view(carrier(tensor.dtype)).reshape(tensor.shape)
