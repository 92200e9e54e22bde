"""Arithmetic on quantised integers."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported
from .common import INT4, UINT4, channelwise, dtype_of, extents
from .elementwise import NARROWEST, Cast
from .image import Conv
from .matrices import MatMul


def _along(v, x, axis, block_size=0):
    """A scale or zero point so that it broadcasts against x: one for all, one per position of an axis, or blocks."""
    if v is None or not v.shape.as_list() or (v.shape.as_list() == [1] and not block_size):
        return v
    axis = axis % len(x.shape)
    if block_size:
        repeated = numpy.repeat(numpy.arange(extents(v)[axis]), block_size)[: extents(x)[axis]]
        return _gathered(v, repeated, axis)
    return tf.reshape(v, [-1 if i == axis else 1 for i in range(len(x.shape))])


def _gathered(v, places, axis):
    # workaround: TensorFlow gathers no four-bit integers.
    if v.dtype in NARROWEST:
        return tf.cast(tf.gather(tf.cast(v, NARROWEST[v.dtype]), places, axis=axis), v.dtype)
    return tf.gather(v, places, axis=axis)


#: Whole numbers that a quantised type holds.
LIMITS = {INT4: (-8, 7), UINT4: (0, 15)}
LIMITS.update({kind: (kind.min, kind.max) for kind in (tf.int8, tf.uint8, tf.int16, tf.uint16)})


def _saturated(x, dtype):
    """Round half to even, and hold within the type's range."""
    if dtype not in LIMITS:
        raise Unsupported("quantisation to {}".format(dtype.name))
    low, high = LIMITS[dtype]
    return Cast(tf.clip_by_value(tf.round(x), low, high), to=dtype.name)


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    dtype = zero_point.dtype if zero_point is not None else dtype_of(output_dtype or "uint8")
    if precision not in (None, x.dtype.name) or scale.dtype != x.dtype:
        raise Unsupported("a scale or precision of another type than the input's")
    scaled = x / _along(scale, x, axis, block_size)
    if dtype.is_floating:
        return Cast(scaled, to=dtype.name.replace("float8_", "float8"), saturate=saturate)
    scaled = tf.round(scaled)
    if zero_point is not None:
        scaled = scaled + Cast(_along(zero_point, x, axis, block_size), to=x.dtype.name)
    return _saturated(scaled, dtype)


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    if output_dtype not in (None, scale.dtype.name):
        raise Unsupported("output_dtype {!r}".format(output_dtype))
    if x.dtype == tf.int32 and scale.dtype != tf.float32:
        raise Unsupported("int32 with a scale of {}".format(scale.dtype.name))
    wide = tf.float64 if x.dtype == tf.int32 else scale.dtype
    y = Cast(x, to=wide.name)
    if zero_point is not None:
        y = y - Cast(_along(zero_point, x, axis, block_size), to=wide.name)
    return tf.cast(y, scale.dtype) * _along(scale, x, axis, block_size)


def _centred(x, zero_point, dtype, axis=0):
    x = tf.cast(x, dtype)
    return x if zero_point is None else x - tf.cast(_along(zero_point, x, axis), dtype)


def MatMulInteger(a, b, a_zero_point=None, b_zero_point=None):
    return MatMul(_centred(a, a_zero_point, tf.int32, -2), _centred(b, b_zero_point, tf.int32, -1))


def QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    if any(v.shape.as_list() not in ([], [1]) for v in (a_scale, b_scale, y_scale)):
        raise Unsupported("scales per row or column")
    return _requantised(MatMulInteger(a, b, a_zero_point, b_zero_point), a_scale * b_scale, y_scale, y_zero_point)


def _requantised(whole, scale, y_scale, y_zero_point):
    """Exact sums, in double precision from there on."""
    real = tf.cast(whole, tf.float64) * (tf.cast(scale, tf.float64) / tf.cast(y_scale, tf.float64))
    return _saturated(tf.round(real) + tf.cast(y_zero_point, tf.float64), y_zero_point.dtype)


def ConvInteger(
    x, w, x_zero=None, w_zero=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None,
    strides=None,
):  # fmt: skip
    """Exact: doubles hold every sum of products of bytes."""
    x, w = _centred(x, x_zero, tf.float64), _centred(w, w_zero, tf.float64)
    y = Conv(x, w, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    return tf.cast(y, tf.int32)


def QLinearConv(
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, b=None, *, auto_pad="NOTSET", dilations=None, group=1,
    kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    whole = ConvInteger(
        x, w, x_zero, w_zero, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides
    )
    if b is not None:
        whole = whole + channelwise(b, whole)
    return _requantised(whole, x_scale * _along(w_scale, whole, 1), y_scale, y_zero)
