"""Operators that reduce, sort or accumulate along axes."""

from __future__ import annotations

import tensorflow as tf

from .common import along_last_axis, extents, is_float, known, scalar, widened
from .elementwise import Abs


def TopK(x, K, *, axis=-1, largest=1, sorted=1):
    K = int(scalar(K, "K"))

    def top(x):
        # workaround: TensorFlow's gradient of top_k fails with indices of 64 bits.
        turned = tf.identity if largest else tf.negative if is_float(x) else tf.bitwise.invert
        values, indices = tf.math.top_k(turned(x), K)
        return turned(values), tf.cast(indices, tf.int64)

    return along_last_axis(x, axis, top)


def _arg(function, x, axis, keepdims, select_last_index):
    if select_last_index:
        found = extents(x)[axis] - 1 - function(tf.reverse(x, [axis]), axis, tf.int64)
    else:
        found = function(x, axis, tf.int64)
    return tf.expand_dims(found, axis) if keepdims else found


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(tf.argmax, x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(tf.argmin, x, axis, keepdims, select_last_index)


def CumSum(x, axis, *, exclusive=0, reverse=0):
    return tf.cumsum(x, scalar(axis, "axis"), bool(exclusive), bool(reverse))


def CumProd(x, axis, *, exclusive=0, reverse=0):
    return tf.math.cumprod(x, scalar(axis, "axis"), bool(exclusive), bool(reverse))


def _reduction(function, before=None, after=None, of_bool=None):
    """The operator that maps `before` over the elements, reduces by `function`, and maps `after` over the result.

    of_bool: the function that reduces booleans, where they have one of their own.
    """

    def reduction(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
        axes = known(axes, "axes")
        if before:
            x = before(x)
        if axes or not noop_with_empty_axes:
            if of_bool and x.dtype == tf.bool:
                x = of_bool(x, axes or None, bool(keepdims))
            else:
                x = widened(lambda x: function(x, axis=axes or None, keepdims=bool(keepdims)), x)
        return after(x) if after else x

    return reduction


ReduceSum = _reduction(tf.reduce_sum)
ReduceMean = _reduction(tf.reduce_mean)
ReduceProd = _reduction(tf.reduce_prod)
ReduceMax = _reduction(tf.reduce_max, of_bool=tf.reduce_any)
ReduceMin = _reduction(tf.reduce_min, of_bool=tf.reduce_all)
ReduceL1 = _reduction(tf.reduce_sum, before=Abs)
ReduceL2 = _reduction(tf.reduce_sum, before=tf.square, after=tf.sqrt)
ReduceSumSquare = _reduction(tf.reduce_sum, before=tf.square)
ReduceLogSum = _reduction(tf.reduce_sum, after=tf.math.log)
ReduceLogSumExp = _reduction(tf.reduce_logsumexp)
