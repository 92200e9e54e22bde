"""ONNX's operators on quantised integers."""

from __future__ import annotations

import torch

from ..kit.interface import Unsupported
from . import ops
from .dtypes import FLOAT8, cast, torch_type


def _per_element(value, x, axis, block_size):
    """A scale or zero point, broadcastable to x: one for all, one for each place on an axis, or one a block."""
    if value.numel() == 1:
        return value.reshape(())
    if not block_size:
        return value.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    return value.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    if zero_point is not None:
        dtype = zero_point.dtype
    else:
        dtype = torch_type(output_dtype if isinstance(output_dtype, str) else "uint8")
    if isinstance(precision, str):
        x, scale = x.to(torch_type(precision)), scale.to(torch_type(precision))
    y = x / _per_element(scale, x, axis, block_size)
    if dtype in FLOAT8:
        return cast(y, dtype, bool(saturate))
    y = y.round()
    if zero_point is not None:
        y = y.to(torch.float32) + _per_element(zero_point, x, axis, block_size).to(torch.float32)
    return _saturated(y, dtype)


def _saturated(y, dtype):
    bounds = torch.iinfo(dtype)
    return y.clamp(bounds.min, bounds.max).to(dtype)


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    dtype = torch_type(output_dtype) if isinstance(output_dtype, str) else scale.dtype
    y = x.to(torch.float32)
    if zero_point is not None:
        y = y - _per_element(zero_point, x, axis, block_size).to(torch.float32)
    y = y * _per_element(scale, x, axis, block_size).to(torch.float32)
    return y if y.dtype == dtype else y.to(dtype)


def DynamicQuantizeLinear(x):
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = (high - low) / 255
    zero_point = (-low / scale).round().clamp(0, 255)
    return ((x / scale).round() + zero_point).clamp(0, 255).to(torch.uint8), scale, zero_point.to(torch.uint8)


# workaround: on CUDA torch has no products and convolutions of integers; float64 is exact up to 53 bits.
def _centred(x, zero_point, axis):
    """x minus its zero point, in float64."""
    y = x.to(torch.float64)
    if zero_point is None:
        return y
    if zero_point.numel() > 1:
        if zero_point.ndim != 1:
            raise Unsupported("a zero point of more than one axis")
        zero_point = zero_point.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    return y - zero_point.reshape(zero_point.shape if zero_point.numel() > 1 else ()).to(torch.float64)


def MatMulInteger(a, b, a_zero_point=None, b_zero_point=None):
    return torch.matmul(_centred(a, a_zero_point, -2), _centred(b, b_zero_point, -1)).to(torch.int32)


def ConvInteger(
    x, w, x_zero_point=None, w_zero_point=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
    pads=None, strides=None,
):  # fmt: skip
    window = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    return ops.Conv(_centred(x, x_zero_point, 1), _centred(w, w_zero_point, 0), **window).to(torch.int32)


def QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    products = torch.matmul(_centred(a, a_zero_point, -2), _centred(b, b_zero_point, -1))
    return _requantised(products, a_scale * b_scale / y_scale, y_zero_point)


def QLinearConv(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b=None, *, auto_pad="NOTSET",
    dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    window = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    b = None if b is None else b.to(torch.float64)
    sums = ops.Conv(_centred(x, x_zero_point, 1), _centred(w, w_zero_point, 0), b, **window)
    factor = x_scale * w_scale / y_scale
    return _requantised(sums, factor.reshape([-1] + [1] * (x.ndim - 2)), y_zero_point)


def _requantised(products, factor, zero_point):
    return _saturated((products * factor.to(torch.float64) + zero_point.to(torch.float64)).round(), zero_point.dtype)
