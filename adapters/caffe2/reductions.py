"""ONNX's reductions, and what is made of them: Softmax and its kin, losses."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .elementwise import Abs, Neg, Where
from .graph import (
    FLOATS,
    SMALL_INTEGERS,
    axis_of,
    call,
    calls,
    cast,
    concat,
    constant,
    first_largest,
    move_axis,
    reshape,
    scale,
    split_axis,
    sqrt,
    squared,
    take,
    transpose,
)


def _axes(x, axes, noop_with_empty_axes):
    if axes is None or len(axes) == 0:
        return [] if noop_with_empty_axes else list(range(x.rank))
    return sorted(axis_of(axis, x.rank) for axis in axes)


def _reduced(x, axes, keepdims):
    return [1 if i in axes else extent for i, extent in enumerate(x.shape) if keepdims or i not in axes]


#: What a reduction of no elements gives.
_OF_NOTHING = {"ReduceSum": 0, "ReduceMean": numpy.nan, "ReduceMax": -numpy.inf, "ReduceMin": numpy.inf, "product": 1}


def _of_nothing(op, x, axes, keepdims):
    # workaround: Caffe2 does not reduce empty tensors
    number, shape = _OF_NOTHING[op], _reduced(x, axes, keepdims)
    if 0 in shape or (x.dtype not in FLOATS and not numpy.isfinite(number)):
        raise Unsupported(f"Caffe2 does not reduce empty tensors of {x.dtype} to {shape}")
    return constant(x, numpy.full(shape, number))


def _reduce(op, x, axes, keepdims, noop_with_empty_axes):
    axes = _axes(x, axes, noop_with_empty_axes)
    if not axes:
        return x
    if x.size == 0:
        return _of_nothing(op, x, axes, keepdims)
    if op == "ReduceMean" and len(axes) == 1 and axes[0] < x.rank - 1 and x.dtype == "float32":
        return _mean_of_rows(x, axes[0], _reduced(x, axes, keepdims))
    return call(op, x, shape=_reduced(x, axes, keepdims), axes=axes, keepdims=keepdims)


def _mean_of_rows(x, axis, shape):
    # workaround: Caffe2's ReduceMean over another axis than the last goes number by number, its AveragePool by rows
    before, after = int(numpy.prod(x.shape[:axis], dtype=int)), int(numpy.prod(x.shape[axis + 1 :], dtype=int))
    rows = reshape(x, (before, x.shape[axis], after))
    mean = call("AveragePool", rows, shape=(before, 1, after), kernels=[x.shape[axis]], order="NHWC")
    return reshape(mean, shape)


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", Abs(x), axes, keepdims, noop_with_empty_axes)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return sqrt(ReduceSumSquare(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes))


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return call("Log", _reduce("ReduceSum", x, axes, keepdims, noop_with_empty_axes))


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _axes(x, axes, noop_with_empty_axes)
    if not axes:
        return x
    if x.size == 0:
        return ReduceMax(x, axes=axes, keepdims=keepdims)
    top, total = _log_sum_exp(x, axes)
    return reshape(call("Add", top, call("Log", total)), _reduced(x, axes, keepdims))


def _log_sum_exp(x, axes):
    """The largest element along the axes, and the sum of the exponentials of what lies below it."""
    top = call("StopGradient", _reduce("ReduceMax", x, axes, 1, 1))
    return top, _reduce("ReduceSum", call("Exp", call("Sub", x, top)), axes, 1, 1)


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce_extreme("ReduceMax", x, axes, keepdims, noop_with_empty_axes)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceMean", x, axes, keepdims, noop_with_empty_axes)


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce_extreme("ReduceMin", x, axes, keepdims, noop_with_empty_axes)


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    # workaround: Caffe2 reduces by no product
    axes = _axes(x, axes, noop_with_empty_axes)
    if x.size == 0:
        return _of_nothing("product", x, axes, keepdims)
    product = x
    for axis in axes:
        parts = split_axis(product, [1] * product.shape[axis], axis)
        product = parts[0]
        for part in parts[1:]:
            product = call("Mul", product, part)
    return reshape(product, _reduced(x, axes, keepdims))


def CumSum(x, *, axis, exclusive=0, reverse=0):
    return _running("Add", 0, x, axis, exclusive, reverse)


def CumProd(x, *, axis, exclusive=0, reverse=0):
    return _running("Mul", 1, x, axis, exclusive, reverse)


def _running(op, first, x, axis, exclusive, reverse):
    # workaround: Caffe2 has no running sums and products
    axis = axis_of(int(numpy.reshape(axis, ())), x.rank)
    parts = list(split_axis(x, [1] * x.shape[axis], axis))[:: -1 if reverse else 1]
    found = [constant(x, numpy.full(parts[0].shape, first))]
    for part in parts:
        found.append(call(op, found[-1], part))
    found = found[:-1] if exclusive else found[1:]
    return concat(found[:: -1 if reverse else 1], axis)


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", x, axes, keepdims, noop_with_empty_axes)


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", squared(x), axes, keepdims, noop_with_empty_axes)


def _reduce_extreme(op, x, axes, keepdims, noop_with_empty_axes):
    if x.dtype in SMALL_INTEGERS | {"bool"}:
        # workaround: Caffe2 computes with integers of 4 and 8 bytes only
        return cast(_reduce_extreme(op, cast(x, "int32"), axes, keepdims, noop_with_empty_axes), x.dtype)
    if x.dtype != "float32" or x.size == 0 or not x.graph.training:
        return _reduce(op, x, axes, keepdims, noop_with_empty_axes)
    # workaround: the gradient of Caffe2's ReduceMax goes to each of several equal elements in full
    axes = _axes(x, axes, noop_with_empty_axes)
    kept = [axis for axis in range(x.rank) if axis not in axes]
    count = int(numpy.prod([x.shape[axis] for axis in axes], dtype=int))
    rows = reshape(transpose(x, kept + axes), [x.shape[axis] for axis in kept] + [count])
    largest = first_largest(rows) if op == "ReduceMax" else Neg(first_largest(Neg(rows)))
    return reshape(largest, _reduced(x, axes, keepdims))


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("ArgMax", x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("ArgMin", x, axis, keepdims, select_last_index)


def _arg(op, x, axis, keepdims, select_last_index):
    axis = axis_of(axis, x.rank)
    shape = _reduced(x, [axis], keepdims)
    if not select_last_index:
        return call(op, x, shape=shape, dtype="int64", axis=axis, keepdims=keepdims)
    # workaround: Caffe2's ArgMax and ArgMin find the first of equal elements only
    last = x.shape[axis] - 1
    flipped = take(x, constant(x, range(last, -1, -1), "int64"), axis)
    first = call(op, flipped, shape=shape, dtype="int64", axis=axis, keepdims=keepdims)
    return call("Sub", constant(first, last), first)


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    axis = axis_of(axis, x.rank)
    shape = x.shape[:axis] + (int(K),) + x.shape[axis + 1 :]
    values, indices = calls(
        "TopK", [x if largest else Neg(x)], [(shape, x.dtype), (shape, "int64")], k=int(K), axis=axis
    )
    return values if largest else Neg(values), indices


def Softmax(x, *, axis=-1):
    axis = axis_of(axis, x.rank)
    if x.masked:
        return _masked_softmax(x, axis)
    if axis == x.rank - 1:
        return call("Softmax", x, axis=axis)
    # workaround: Caffe2's Softmax takes all axes from `axis` on together
    last = move_axis(x, axis, x.rank - 1)
    return move_axis(call("Softmax", last, axis=x.rank - 1), x.rank - 1, axis)


def _masked_softmax(x, axis):
    """Of nothing but -inf it is nan, and so would be its gradient, though such rows are replaced where they matter."""
    most = call("ReduceMax", x, shape=_reduced(x, [axis], 1), axes=[axis], keepdims=1)
    empty = call("EQ", most, constant(most, -numpy.inf), dtype="bool")
    safe = Where(empty, constant(x, 0), x)
    safe.masked = False
    y = Softmax(safe, axis=axis)
    return Where(empty, constant(x, numpy.nan), y)


def LogSoftmax(x, *, axis=-1):
    # workaround: Caffe2 has no LogSoftmax, and the logarithm of its Softmax loses small probabilities
    axis = axis_of(axis, x.rank)
    top, total = _log_sum_exp(x, [axis])
    return call("Sub", call("Sub", x, top), call("Log", total))


def Hardmax(x, *, axis=-1):
    axis = axis_of(axis, x.rank)
    best = call("ArgMax", x, shape=_reduced(x, [axis], 1), dtype="int64", axis=axis, keepdims=1)
    places = numpy.arange(x.shape[axis]).reshape([-1] + [1] * (x.rank - 1 - axis))
    return cast(call("EQ", best, constant(best, places), dtype="bool"), x.dtype)


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, reduction="mean", ignore_index=None):
    classes = scores.shape[1]
    if reduction == "mean" and weights is None and ignore_index is None:
        flat = reshape(move_axis(scores, 1, scores.rank - 1), (labels.size, classes))
        flat_labels = reshape(cast(labels, "int32"), (labels.size,))
        probability, loss = calls(
            "SoftmaxWithLoss", [flat, flat_labels], [(flat.shape, scores.dtype), ((), scores.dtype)]
        )
        return loss, LogSoftmax(scores, axis=1)
    log_probability = LogSoftmax(scores, axis=1)
    loss = NegativeLogLikelihoodLoss(log_probability, labels, weights, reduction=reduction, ignore_index=ignore_index)
    return loss, log_probability


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, reduction="mean", ignore_index=None):
    classes = scores.shape[1]
    flat = reshape(move_axis(scores, 1, scores.rank - 1), (labels.size, classes))
    flat_labels = reshape(labels, (labels.size,))
    factor = None
    if ignore_index is not None:
        counted = call("NE", flat_labels, constant(flat_labels, ignore_index), dtype="bool")
        flat_labels = call("Mul", flat_labels, cast(counted, flat_labels.dtype))
        factor = cast(counted, scores.dtype)
    if weights is not None:
        chosen = take(weights, flat_labels, 0)
        factor = chosen if factor is None else call("Mul", chosen, factor)
    column = reshape(flat_labels, (labels.size, 1))
    picked = call("Gather", flat, column, shape=column.shape, axis=1, match_outer=1)
    losses = call("Negative", reshape(picked, flat_labels.shape))
    if factor is not None:
        losses = call("Mul", losses, factor)
    if reduction == "none":
        return reshape(losses, labels.shape)
    total = call("ReduceSum", losses, shape=(), axes=[0], keepdims=0)
    if reduction == "sum":
        return total
    if factor is None:
        return scale(total, 1 / labels.size)
    return call("Div", total, call("ReduceSum", factor, shape=(), axes=[0], keepdims=0))
