"""ONNX operators on Theano's variables: to and from small integers."""

from __future__ import annotations

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported
from .common import FLOATS, constant, extents, require, reshape


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    """The nearest integers, halves to even, plus the zero point, kept within the type's limits."""
    target = zero_point.dtype if zero_point is not None else output_dtype or "uint8"
    if target not in ("uint8", "int8", "uint16", "int16"):
        raise Unsupported("Theano has no element type " + target)
    require(x, FLOATS, "QuantizeLinear")
    if precision:
        x, scale = x.astype(precision), _tagged(scale, scale.astype(precision))
    rounded = T.round(x / _along(scale, x, axis, block_size), mode="half_to_even").astype("float64")
    if zero_point is not None:
        rounded = rounded + _along(zero_point, x, axis, block_size).astype("float64")
    info = numpy.iinfo(target)
    low, high = constant(info.min, "float64"), constant(info.max, "float64")
    return T.clip(rounded, low, high).astype(target)


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    require(x, ("uint8", "int8", "uint16", "int16", "int32"), "DequantizeLinear")
    require(scale, FLOATS, "DequantizeLinear")
    whole = x.astype("int32")
    if zero_point is not None:
        whole = whole - _along(zero_point, x, axis, block_size).astype("int32")
    result = whole.astype(scale.dtype) * _along(scale, x, axis, block_size)
    return result.astype(output_dtype or scale.dtype)


def _tagged(old, new):
    new.tag.extents = extents(old)
    return new


def _along(value, x, axis, block_size):
    """A scale or zero point in a shape that broadcasts against x."""
    shape = extents(value)
    if block_size:
        axis %= x.ndim
        repeated = T.repeat(value, block_size, axis=axis)
        return repeated[tuple(slice(0, extents(x)[i]) if i == axis else slice(None) for i in range(x.ndim))]
    if shape in ((), (1,)):
        return reshape(value, (1,) * x.ndim) if x.ndim else reshape(value, ())
    axis %= x.ndim
    return reshape(value, [shape[0] if i == axis else 1 for i in range(x.ndim)])
