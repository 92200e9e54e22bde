"""ONNX operators on Theano's variables: reductions, and what runs along one axis."""

from __future__ import annotations

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported
from .common import FLOATS, along, constant, extents, full, is_float, require


def _reduced(x, axes, keepdims, noop, function, empty=None):
    """axes absent or empty: none of them where noop is set, else all."""
    shape = extents(x)
    if not axes:
        axes = () if noop else range(x.ndim)
    axes = sorted(axis % x.ndim for axis in axes) if x.ndim else []
    if not axes:
        return function(x.dimshuffle(0, "x") if x.ndim == 1 else x.flatten().dimshuffle(0, "x"), [1], False).reshape(
            shape, ndim=x.ndim
        )
    if any(shape[axis] == 0 for axis in axes):
        if empty is None:
            raise Unsupported("there is nothing to reduce")
        kept = [1 if i in axes else extent for i, extent in enumerate(shape) if keepdims or i not in axes]
        return full(kept, empty, x.dtype)
    return function(x, axes, bool(keepdims))


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def total(x, axes, keepdims):
        return T.sum(x, axis=axes, dtype=x.dtype, keepdims=keepdims)

    return _reduced(x, axes, keepdims, noop_with_empty_axes, total, 0)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "means")
    return _reduced(x, axes, keepdims, noop_with_empty_axes, lambda x, axes, keep: T.mean(x, axis=axes, keepdims=keep))


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def product(x, axes, keepdims):
        return T.prod(x, axis=axes, dtype=x.dtype, keepdims=keepdims)

    return _reduced(x, axes, keepdims, noop_with_empty_axes, product, 1)


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def most(x, axes, keepdims):
        return T.max(x, axis=axes, keepdims=keepdims)

    if x.dtype == "bool":
        return ReduceMax(_as_bytes(x), axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes) > 0
    return _reduced(x, axes, keepdims, noop_with_empty_axes, most, -numpy.inf if is_float(x) else None)


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def least(x, axes, keepdims):
        return T.min(x, axis=axes, keepdims=keepdims)

    if x.dtype == "bool":
        return ReduceMin(_as_bytes(x), axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes) > 0
    require(x, FLOATS + ("int8", "int16", "int32", "int64"), "minima")  # it takes the maximum of -x
    return _reduced(x, axes, keepdims, noop_with_empty_axes, least, numpy.inf if is_float(x) else None)


def _as_bytes(x):
    made = x.astype("int8")
    made.tag.extents = extents(x)
    return made


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def total(x, axes, keepdims):
        return T.sum(T.sqr(x), axis=axes, dtype=x.dtype, keepdims=keepdims)

    return _reduced(x, axes, keepdims, noop_with_empty_axes, total, 0)


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    def total(x, axes, keepdims):
        return T.sum(abs(x), axis=axes, dtype=x.dtype, keepdims=keepdims)

    return _reduced(x, axes, keepdims, noop_with_empty_axes, total, 0)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "norms")
    return T.sqrt(
        ReduceSumSquare(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes).astype(x.dtype)
    )


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "logarithms")
    return T.log(ReduceSum(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes))


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "logarithms")

    def stable(x, axes, keepdims):
        most = T.max(x, axis=axes, keepdims=True)
        most = T.switch(T.isinf(most), constant(0, x.dtype), most)
        total = T.log(T.sum(T.exp(x - most), axis=axes, dtype=x.dtype, keepdims=True)) + most
        return total if keepdims else total.dimshuffle([i for i in range(x.ndim) if i not in axes])

    return _reduced(x, axes, keepdims, noop_with_empty_axes, stable, -numpy.inf)


def _arg(x, axis, keepdims, last, function):
    axis %= x.ndim
    if x.dtype not in FLOATS + ("int8", "int16", "int32", "int64"):
        raise Unsupported("Theano does not do this for " + x.dtype)
    if not last:
        return function(x, axis=axis, keepdims=bool(keepdims))
    backwards = function(x[along(x.ndim, axis, slice(None, None, -1))], axis=axis, keepdims=bool(keepdims))
    return constant(extents(x)[axis] - 1, "int64") - backwards


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(x, axis, keepdims, select_last_index, T.argmax)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(x, axis, keepdims, select_last_index, T.argmin)


def _cumulated(function, start, x, axis, exclusive, reverse):
    axis = int(numpy.asarray(axis).reshape(())) % x.ndim
    flipped = along(x.ndim, axis, slice(None, None, -1))
    x, extent = (x[flipped] if reverse else x), extents(x)[axis]
    if exclusive:
        first = T.ones_like(x[along(x.ndim, axis, slice(0, 1))]) * constant(start, x.dtype)
        result = function(x[along(x.ndim, axis, slice(0, extent - 1))], axis)
        result = T.join(axis, first.astype(x.dtype), result)
    else:
        result = function(x, axis)
    return result[flipped] if reverse else result


def CumSum(x, *, axis, exclusive=0, reverse=0):
    return _cumulated(T.cumsum, 0, x, axis, exclusive, reverse)


def CumProd(x, *, axis, exclusive=0, reverse=0):
    return _cumulated(T.cumprod, 1, x, axis, exclusive, reverse)


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    """By a stable sort: of equal values the lower index is first."""
    # workaround: Theano's topk puts equal values in any order
    require(x, FLOATS + ("int8", "int16", "int32", "int64"), "sorting")
    axis, count, shape = axis % x.ndim, int(numpy.asarray(K).reshape(())), extents(x)
    keys = x if not largest else (-x if is_float(x) else ~x)
    order = T.argsort(keys, axis=axis, kind="mergesort")[along(x.ndim, axis, slice(0, count))]
    grid = [
        constant(numpy.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])) for i, n in enumerate(shape)
    ]
    grid[axis] = order
    return x[tuple(grid)], order.astype("int64")
