"""Element types: ONNX's names as torch dtypes, arrays to tensors and back, and ONNX's saturating casts."""

from __future__ import annotations

import math

import numpy
import torch

from ..kit.interface import Unsupported

TYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8e4m3fn": torch.float8_e4m3fn,
    "float8e4m3fnuz": torch.float8_e4m3fnuz,
    "float8e5m2": torch.float8_e5m2,
    "float8e5m2fnuz": torch.float8_e5m2fnuz,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint16": torch.uint16,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
    "bool": torch.bool,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)

#: Types that numpy lacks, and torch's type of the same width that carries their bits to and from numpy.
_CARRIERS = dict.fromkeys(FLOAT8, torch.uint8)
_CARRIERS[torch.bfloat16] = torch.uint16


def torch_type(name: str) -> torch.dtype:
    if name not in TYPES:
        raise Unsupported(f"torch has no element type {name}")
    return TYPES[name]


def to_tensor(array: numpy.ndarray, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor of its own on the device, from an array whose bits are of that type.

    In torch's own memory, which is aligned to cache lines; numpy's is not, and products of it take longer.
    """
    tensor = torch.tensor(numpy.asarray(array, order="C"))
    return (tensor.view(dtype) if dtype in _CARRIERS else tensor).to(device)


def to_array(tensor: torch.Tensor) -> numpy.ndarray:
    """The tensor on the host; types that numpy lacks as the integers that carry their bits."""
    tensor = tensor.detach().cpu()
    if tensor.dtype in _CARRIERS:
        tensor = tensor.contiguous().view(_CARRIERS[tensor.dtype])
    return tensor.numpy()


def cast(x, dtype: torch.dtype, saturate: bool = True):
    """ONNX's Cast: to a float8 out-of-range values become the largest finite one, unless `saturate` is false."""
    if x.dtype == dtype:
        return x
    if dtype not in FLOAT8:
        return x.to(dtype)
    if not x.is_floating_point() or x.dtype in FLOAT8:
        x = x.to(torch.float32)
    if saturate:
        largest = torch.finfo(dtype).max
        x = x.clamp(-largest, largest)
    elif dtype == torch.float8_e4m3fn:
        # workaround: torch saturates here too; what rounds to more than the largest value, 448, is not a number.
        x = torch.where(x.abs() > 464, math.nan, x)
    return x.to(dtype)
