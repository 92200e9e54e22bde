"""Element types that numpy lacks, between the kit's arrays and ONNX Runtime's memory."""

from __future__ import annotations

import numpy

from ..kit.arrays import carrier, element_count
from ..kit.program import Tensor

#: ONNX's numbers of them.
NUMBERS = {
    "bfloat16": 16,
    "float8e4m3fn": 17,
    "float8e4m3fnuz": 18,
    "float8e5m2": 19,
    "float8e5m2fnuz": 20,
    "uint4": 21,
    "int4": 22,
    "float4e2m1": 23,
    "float8e8m0": 24,
    "uint2": 25,
    "int2": 26,
}

#: Bits of those that share a byte, the first element in the lowest bits. The kit's arrays give each a byte of its own.
PACKED = {"uint4": 4, "int4": 4, "float4e2m1": 4, "uint2": 2, "int2": 2}


def to_bytes(array: numpy.ndarray, dtype: str) -> numpy.ndarray:
    """The bytes of an array as ONNX and ONNX Runtime lay them out: a flat uint8 array."""
    raw = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    if dtype not in PACKED:
        return raw
    bits = PACKED[dtype]
    shared = 8 // bits
    padded = numpy.zeros(-(-raw.size // shared) * shared, numpy.uint8)
    padded[: raw.size] = raw & (1 << bits) - 1
    shifted = padded.reshape(-1, shared) << (numpy.arange(shared, dtype=numpy.uint8) * bits).astype(numpy.uint8)
    return numpy.bitwise_or.reduce(shifted, axis=1).astype(numpy.uint8)


def from_bytes(raw: numpy.ndarray, tensor: Tensor) -> numpy.ndarray:
    """The inverse of `to_bytes`, with the tensor's shape and carrier type."""
    if tensor.dtype in PACKED:
        bits = PACKED[tensor.dtype]
        places = (numpy.arange(8 // bits, dtype=numpy.uint8) * bits).astype(numpy.uint8)
        raw = (raw.reshape(-1, 1) >> places & (1 << bits) - 1).reshape(-1)[: element_count(tensor.shape)]
        if tensor.dtype.startswith("int"):
            sign = numpy.uint8(1 << bits - 1)
            raw = (raw ^ sign) - sign
    return numpy.ascontiguousarray(raw).view(carrier(tensor.dtype)).reshape(tensor.shape)
