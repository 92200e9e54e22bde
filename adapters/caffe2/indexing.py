"""ONNX's operators that pick elements by computed places: as a Gather from a flattened tensor."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .elementwise import Clip, Round, Where
from .graph import Value, axis_of, call, cast, constant, expand, reshape, slice_axis, take


def _strides(shape):
    """How many elements lie between neighbours along each axis."""
    return [int(numpy.prod(shape[axis + 1 :], dtype=int)) for axis in range(len(shape))]


def _wrapped(indices: Value, extent: int) -> Value:
    """Indices counted from the front."""
    if indices.array is not None:
        return constant(indices, numpy.where(indices.array < 0, indices.array + extent, indices.array))
    return call("Mod", indices, divisor=extent, sign_follow_divisor=1)


def _times(indices: Value, factor: int) -> Value:
    if indices.array is not None:
        return constant(indices, indices.array * factor)
    return call("Mul", indices, constant(indices, factor))


def _plus(a: Value, b: Value) -> Value:
    if a.array is not None and b.array is not None:
        return constant(a, a.array + b.array)
    return call("Add", a, b)


def GatherElements(x, indices, *, axis=0):
    axis = axis_of(axis, x.rank)
    if indices.dtype not in ("int32", "int64"):
        raise Unsupported(f"Caffe2's Gather takes int32 or int64 indices, not {indices.dtype}")
    strides = _strides(x.shape)
    grid = numpy.indices(indices.shape)
    base = sum((grid[i] * strides[i] for i in range(x.rank) if i != axis), numpy.zeros(indices.shape, int))
    places = _plus(_times(_wrapped(indices, x.shape[axis]), strides[axis]), constant(indices, base))
    return take(reshape(x, (x.size,)), places, 0)


def GatherND(x, indices, *, batch_dims=0):
    depth = indices.shape[-1]
    strides = _strides(x.shape)
    batch = x.shape[:batch_dims]
    grid = numpy.indices(batch)
    base = sum((grid[i] * strides[i] for i in range(batch_dims)), numpy.zeros(batch, int))
    base = base.reshape(batch + (1,) * (indices.rank - 1 - batch_dims))
    inner = int(numpy.prod(x.shape[batch_dims + depth :], dtype=int))
    places = constant(indices, base // inner)
    for k in range(depth):
        part = slice_axis(indices, indices.rank - 1, k, k + 1)
        part = _wrapped(reshape(part, indices.shape[:-1]), x.shape[batch_dims + k])
        places = _plus(_times(part, strides[batch_dims + k] // inner), places)
    rows = take(reshape(x, (x.size // inner, inner)), places, 0)
    return reshape(rows, indices.shape[:-1] + x.shape[batch_dims + depth :])


def ReverseSequence(x, lengths, *, batch_axis=1, time_axis=0):
    """Step t of a sequence of n steps comes from step n - 1 - t; steps behind its end stay."""
    along = [-1 if axis == time_axis else 1 for axis in range(x.rank)]
    steps = constant(lengths, numpy.arange(x.shape[time_axis]).reshape(along))
    ends = reshape(lengths, [lengths.size if axis == batch_axis else 1 for axis in range(x.rank)])
    turned = call("Sub", ends, call("Add", steps, constant(steps, 1)))
    source = Where(call("LT", steps, ends, dtype="bool"), turned, steps)
    return GatherElements(x, expand(source, x.shape), axis=time_axis)


def DequantizeLinear(x, factor, zero=None, *, axis=1, block_size=0, output_dtype=None):
    if block_size or output_dtype not in (None, "float32"):
        raise Unsupported("only whole tensors and axes are dequantised, to float32")
    along = _along(x, axis)
    wide = cast(x, "float32")
    if zero is not None:
        wide = call("Sub", wide, reshape(cast(zero, "float32"), along(zero)))
    return call("Mul", wide, reshape(factor, along(factor)))


def QuantizeLinear(x, factor, zero=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    dtype = zero.dtype if zero is not None else output_dtype or "uint8"
    if block_size or dtype not in ("uint8", "int8", "uint16", "int16") or precision not in (None, "float32"):
        raise Unsupported(f"only whole tensors and axes are quantised, to 8 and 16 bits, not to {dtype}")
    along = _along(x, axis)
    steps = Round(call("Div", x, reshape(factor, along(factor))))
    if zero is not None:
        steps = call("Add", steps, reshape(cast(zero, "float32"), along(zero)))
    limits = numpy.iinfo(dtype)
    return cast(Clip(steps, min=limits.min, max=limits.max), dtype)


def _along(x, axis):
    """The shape in which a parameter of the whole tensor or of one axis meets the tensor."""
    after = (1,) * (x.rank - 1 - axis_of(axis, x.rank)) if x.rank else ()
    return lambda value: value.shape if value.rank == 0 else (value.size,) + after if value.size > 1 else ()
