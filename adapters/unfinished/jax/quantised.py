"""ONNX's operators on quantised integers."""

from __future__ import annotations

import jax.numpy as jnp

from ..kit.interface import Unsupported
from . import layers
from .dtypes import FLOAT4, FLOAT8, NARROW, cast, type_of


def _along(v, x, axis, block_size=0):
    """A scale or zero point so that it broadcasts against x: one for all, one per position of an axis, or blocks."""
    if v.size == 1 and not block_size:
        return v.reshape(())
    axis = axis % x.ndim
    if block_size:
        repeated = jnp.repeat(v.astype(NARROW.get(v.dtype, v.dtype)), block_size, axis)
        return jnp.take(repeated, jnp.arange(x.shape[axis]), axis)
    return v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def _number(v, dtype):
    """A zero point or quantised tensor as numbers to compute with."""
    return cast(v, jnp.dtype(dtype))


def _saturated(y, dtype):
    bounds = jnp.iinfo(dtype)
    return cast(jnp.clip(y, int(bounds.min), int(bounds.max)), dtype)


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    if zero_point is not None:
        dtype = zero_point.dtype
    else:
        dtype = type_of(output_dtype if isinstance(output_dtype, str) else "uint8")
    if isinstance(precision, str):
        x, scale = x.astype(type_of(precision)), scale.astype(type_of(precision))
    if scale.dtype != x.dtype:
        raise Unsupported("a scale of another type than the input's")
    y = x / _along(scale, x, axis, block_size)
    if dtype in FLOAT8 or dtype == FLOAT4:
        return cast(y, dtype, bool(saturate))
    y = jnp.round(y).astype(jnp.float32)
    if zero_point is not None:
        y = y + _number(_along(zero_point, x, axis, block_size), jnp.float32)
    return _saturated(y, dtype)


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    dtype = type_of(output_dtype) if isinstance(output_dtype, str) else scale.dtype
    kind = jnp.float64 if x.dtype == jnp.int32 else jnp.float32
    y = _number(x, kind)
    if zero_point is not None:
        y = y - _number(_along(zero_point, x, axis, block_size), kind)
    y = y * _along(scale, x, axis, block_size).astype(kind)
    return y.astype(dtype)


def DynamicQuantizeLinear(x):
    low, high = jnp.minimum(x.min(), 0), jnp.maximum(x.max(), 0)
    scale = (high - low) / 255
    zero_point = jnp.clip(jnp.round(-low / scale), 0, 255)
    y = jnp.clip(jnp.round(x / scale) + zero_point, 0, 255).astype(jnp.uint8)
    return y, scale, zero_point.astype(jnp.uint8)


def _centred(x, zero_point, axis, dtype):
    """x minus its zero point, in a type that holds every sum of products."""
    x = x.astype(dtype)
    if zero_point is None:
        return x
    if zero_point.size > 1 and zero_point.ndim != 1:
        raise Unsupported("a zero point of more than one axis")
    return x - _along(zero_point, x, axis).astype(dtype)


def MatMulInteger(a, b, a_zero_point=None, b_zero_point=None):
    return jnp.matmul(_centred(a, a_zero_point, -2, jnp.int32), _centred(b, b_zero_point, -1, jnp.int32))


# workaround: XLA's convolutions of integers are slow on a CPU and missing on a GPU; float64 is exact up to 53 bits.
def _convolved(x, w, x_zero_point, w_zero_point, window):
    x, w = _centred(x, x_zero_point, 1, jnp.float64), _centred(w, w_zero_point, 0, jnp.float64)
    return layers.Conv(x, w, **window)


def ConvInteger(
    x, w, x_zero_point=None, w_zero_point=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
    pads=None, strides=None,
):  # fmt: skip
    window = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    return _convolved(x, w, x_zero_point, w_zero_point, window).astype(jnp.int32)


def _requantised(whole, factor, y_scale, zero_point):
    """Exact sums, in double precision from there on."""
    real = whole.astype(jnp.float64) * (factor.astype(jnp.float64) / y_scale.astype(jnp.float64))
    return _saturated(jnp.round(real) + _number(zero_point, jnp.float64).reshape(()), zero_point.dtype)


def QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    if a_scale.size > 1 or b_scale.size > 1 or y_scale.size > 1:
        raise Unsupported("scales per row or column")
    products = MatMulInteger(a, b, a_zero_point, b_zero_point)
    return _requantised(products, (a_scale * b_scale).reshape(()), y_scale.reshape(()), y_zero_point)


def QLinearConv(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b=None, *, auto_pad="NOTSET",
    dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    window = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    whole = _convolved(x, w, x_zero_point, w_zero_point, window)
    if b is not None:
        whole = whole + _along(b, whole, 1)
    return _requantised(whole, x_scale.reshape(()) * _along(w_scale, whole, 1), y_scale.reshape(()), y_zero_point)
