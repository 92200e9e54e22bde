"""ONNX operators on MXNet symbols: quantization to and from 8 bits, and products of such integers."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .ops import INTEGERS, cast, full, require, reshape
from .ops_nn import Conv, integer_product
from .symbols import F


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    target = zero_point.dtype if zero_point is not None else output_dtype or "uint8"
    if target not in ("uint8", "int8"):
        raise Unsupported("MXNet has no element type " + target)
    if precision:
        x, scale = cast(x, precision), cast(scale, precision)
    ratio = F._npi_true_divide(x if x.floating else cast(x, scale.dtype), _along(scale, x, axis, block_size))
    return _saturated(ratio, None if zero_point is None else _along(zero_point, x, axis, block_size), target)


def _saturated(ratio, zero_point, dtype):
    """The nearest integers, halves to even, plus the zero point, kept within the type's limits."""
    rounded = cast(F._npi_around(ratio), "float64")
    if zero_point is not None:
        rounded = F._npi_add(rounded, cast(zero_point, "float64"))
    info = numpy.iinfo(dtype)
    low, high = full((), info.min, "float64"), full((), info.max, "float64")
    return cast(F._npi_maximum(F._npi_minimum(rounded, high), low), dtype)


def _along(value, x, axis, block_size):
    """A scale or zero point in a shape that broadcasts against x."""
    if value.size == 1 and not block_size:
        return reshape(value, ())
    axis %= x.ndim
    if block_size:
        repeated = F._np_repeat(value, repeats=block_size, axis=axis)
        return F.slice_axis(repeated, axis=axis, begin=0, end=x.shape[axis])
    return reshape(value, [-1 if i == axis else 1 for i in range(x.ndim)])


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    require(x, ("uint8", "int8", "int32"), "DequantizeLinear")
    whole = cast(x, "int32")
    if zero_point is not None:
        whole = F._npi_subtract(whole, cast(_along(zero_point, x, axis, block_size), "int32"))
    result = F._npi_multiply(cast(whole, scale.dtype), _along(scale, x, axis, block_size))
    return cast(result, output_dtype or scale.dtype)


def MatMulInteger(a, b, a_zero_point=None, b_zero_point=None):
    """One zero point, or one for each row of a and for each column of b."""
    require(a, INTEGERS, "MatMulInteger")
    return integer_product(_shifted(a, a_zero_point, a.ndim - 2), _shifted(b, b_zero_point, b.ndim - 1))


def _shifted(x, zero_point, axis):
    whole = cast(x, "int32")
    if zero_point is None:
        return whole
    if zero_point.ndim > 1:
        return F._npi_subtract(whole, cast(zero_point, "int32"))
    return F._npi_subtract(whole, cast(_along(zero_point, x, axis, 0), "int32"))


def ConvInteger(
    x, w, x_zero_point=None, w_zero_point=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
    pads=None, strides=None,
):  # fmt: skip
    # workaround: MXNet's Convolution takes no integers; float64 holds every sum exactly
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    wide = cast(_shifted(x, x_zero_point, 0), "float64"), cast(_shifted(w, w_zero_point, 0), "float64")
    return cast(Conv(*wide, **attributes), "int32")


def QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    product = MatMulInteger(a, b, a_zero_point, b_zero_point)
    left, right = _along(a_scale, a, a.ndim - 2, 0), _along(b_scale, b, b.ndim - 1, 0)
    return _requantized(product, F._npi_multiply(left, right), y_scale, y_zero_point)


def QLinearConv(
    x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b=None, *, auto_pad="NOTSET",
    dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    """The bias is already an integer of scale x_scale * w_scale."""
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    product = ConvInteger(x, w, x_zero_point, w_zero_point, **attributes)
    if b is not None:
        product = F._npi_add(product, _along(b, product, 1, 0))
    return _requantized(product, F._npi_multiply(x_scale, _along(w_scale, product, 1, 0)), y_scale, y_zero_point)


def _requantized(product, scale, y_scale, y_zero_point):
    factor = cast(F._npi_true_divide(scale, y_scale), "float64")
    return _saturated(F._npi_multiply(cast(product, "float64"), factor), y_zero_point, y_zero_point.dtype)
