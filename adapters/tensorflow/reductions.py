"""Operators that sort, reduce, multiply matrices or transform along an axis."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from .common import as_row, extents, is_float, known, scalar, widened
from .elementwise import Abs
from .target import target


def _sorted_axis(x, axis, function):
    """Apply a function of the last axis to another one."""
    rank = len(x.shape)
    axis = axis % rank
    if axis == rank - 1:
        return function(x)
    perm = [i for i in range(rank) if i != axis] + [axis]
    back = numpy.argsort(perm)
    return tuple(tf.transpose(part, back) for part in function(tf.transpose(x, perm)))


def TopK(x, K, *, axis=-1, largest=1, sorted=1):
    K = int(scalar(K, "K"))

    def top(x):
        if largest:
            return tuple(tf.math.top_k(x, K, index_type=tf.int64))
        turned = tf.negative if is_float(x) else tf.bitwise.invert
        values, indices = tf.math.top_k(turned(x), K, index_type=tf.int64)
        return turned(values), indices

    return _sorted_axis(x, axis, top)


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


def _reduced(function, x, axes, keepdims, noop_with_empty_axes, each=None):
    """`each` is what the reduction does to a single element, for the case without axes."""
    axes = known(axes, "axes")
    if not axes:
        if noop_with_empty_axes:
            return each(x) if each else x
        axes = None
    return widened(lambda x: function(x, axis=axes, keepdims=bool(keepdims)), x)


def _reduced_bool(function, x, axes, keepdims, noop_with_empty_axes):
    axes = known(axes, "axes")
    return x if not axes and noop_with_empty_axes else function(x, axes or None, bool(keepdims))


def ReduceSum(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes)


def ReduceMean(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_mean, x, axes, keepdims, noop_with_empty_axes)


def ReduceMax(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    if x.dtype == tf.bool:
        return _reduced_bool(tf.reduce_any, x, axes, keepdims, noop_with_empty_axes)
    return _reduced(tf.reduce_max, x, axes, keepdims, noop_with_empty_axes)


def ReduceMin(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    if x.dtype == tf.bool:
        return _reduced_bool(tf.reduce_all, x, axes, keepdims, noop_with_empty_axes)
    return _reduced(tf.reduce_min, x, axes, keepdims, noop_with_empty_axes)


def ReduceProd(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_prod, x, axes, keepdims, noop_with_empty_axes)


def ReduceL1(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, Abs(x), axes, keepdims, noop_with_empty_axes)


def ReduceL2(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return tf.sqrt(_reduced(tf.reduce_sum, tf.square(x), axes, keepdims, noop_with_empty_axes))


def ReduceSumSquare(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, tf.square(x), axes, keepdims, noop_with_empty_axes)


def ReduceLogSum(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return tf.math.log(_reduced(tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes))


def ReduceLogSumExp(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_logsumexp, x, axes, keepdims, noop_with_empty_axes)


def MatMul(a, b):
    if len(a.shape) == 1 and len(b.shape) == 1:
        return tf.reduce_sum(a * b)
    if len(a.shape) == 1:
        return tf.squeeze(MatMul(tf.expand_dims(a, 0), b), -2)
    if len(b.shape) == 1:
        return tf.squeeze(MatMul(a, tf.expand_dims(b, 1)), -1)
    if a.dtype in (tf.float16, tf.bfloat16) and target().device == "cpu":
        raise Unsupported("{} on a CPU: rounded at every step, it misses ONNX's tolerances".format(a.dtype.name))
    if len(a.shape) > 2 and len(b.shape) == 2:
        # One product over all rows, as Keras does: the gradient of the matrix is one product too.
        shape = extents(a)
        return tf.reshape(
            MatMul(tf.reshape(a, [element_count(shape[:-1]), shape[-1]]), b), shape[:-1] + extents(b)[-1:]
        )
    return widened(tf.matmul, a, b)


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = tf.matmul(a, b, transpose_a=bool(transA), transpose_b=bool(transB))
    if alpha != 1:
        y = _scaled(y, alpha)
    if c is None:
        return y
    if beta != 1:
        c = _scaled(c, beta)
    c = as_row(c, y)
    return tf.nn.bias_add(y, c) if extents(c) == extents(y)[1:] else y + c


def _scaled(x, factor):
    if is_float(x):
        return factor * x
    if factor != int(factor):
        raise Unsupported("integers times {}".format(factor))
    return int(factor) * x


def Einsum(*tensors, equation):
    return tf.einsum(equation.replace(" ", ""), *tensors)


def Det(x):
    return tf.linalg.det(x)


def _as_complex(x, wide=True):
    """[..., 1] or [..., 2] -> [...] complex; wide: in double precision, for zeros where large terms cancel."""
    if x.dtype not in (tf.float32, tf.float64):
        raise Unsupported("a transform of {}".format(x.dtype.name))
    x = tf.cast(x, tf.float64 if wide else x.dtype)
    real = x[..., 0]
    return tf.complex(real, x[..., 1] if x.shape[-1] == 2 else tf.zeros_like(real))


def _as_pairs(z, dtype):
    return tf.cast(tf.stack([tf.math.real(z), tf.math.imag(z)], axis=-1), dtype)


def DFT(x, dft_length=None, axis=-2, *, inverse=0, onesided=0):
    z = _as_complex(x, not inverse)
    axis = scalar(axis, "axis")
    axis = axis % len(x.shape)
    length = scalar(dft_length, "dft_length")
    real_again = inverse and onesided
    if length is None:
        length = 2 * (extents(x)[axis] - 1) if real_again else extents(x)[axis]
    perm = [i for i in range(len(z.shape)) if i != axis] + [axis]
    z = tf.transpose(z, perm)
    wanted = length // 2 + 1 if real_again else length
    z = z[..., :wanted]
    z = tf.pad(z, [[0, 0]] * (len(perm) - 1) + [[0, wanted - extents(z)[-1]]])
    back = numpy.argsort(perm)
    if real_again:
        return tf.cast(tf.expand_dims(tf.transpose(tf.signal.irfft(z, [length]), back), -1), x.dtype)
    z = tf.signal.ifft(z) if inverse else tf.signal.fft(z)
    if onesided:
        z = z[..., : length // 2 + 1]
    return _as_pairs(tf.transpose(z, back), x.dtype)


def STFT(signal, window=None, *, frame_step, frame_length=None, onesided=1):
    z = _as_complex(signal)
    length = frame_length if window is None else extents(window)[0]
    frames = (extents(z)[-1] - length) // frame_step + 1
    places = numpy.arange(frames)[:, None] * frame_step + numpy.arange(length)
    z = tf.gather(z, places, axis=-1)
    if window is not None:
        z = z * tf.cast(window, z.dtype)
    z = tf.signal.fft(z)
    return _as_pairs(z[..., : length // 2 + 1] if onesided else z, signal.dtype)
