"""ONNX operators on Theano's variables: products, convolutions, pools, normalisation, softmax."""

from __future__ import annotations

import numpy

import theano.tensor as T
from theano.gradient import DisconnectedType
from theano.tensor.nnet import abstract_conv, bn
from theano.tensor.signal.pool import DownsampleFactorMaxGradGrad, MaxPoolGrad, Pool

from ..kit.interface import Unsupported
from ..kit.windows import spans_of, spatial_pads, transposed_extents, transposed_pads
from .common import FLOATS, broadcast_to, constant, extents, padded, per_channel, require, reshape

# Products.


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    require(a, FLOATS, "Gemm")
    result = T.dot(a.T if transA else a, b.T if transB else b)
    if alpha != 1:
        result = constant(alpha, a.dtype) * result
    if c is None or beta == 0:
        return result
    return result + (c if beta == 1 else constant(beta, a.dtype) * c)


def MatMul(a, b):
    if a.ndim <= 2 and b.ndim <= 2:
        return T.dot(a, b)
    left, right = extents(a), extents(b)
    if b.ndim <= 2 and a.ndim > 2:
        rows = int(numpy.prod(left[:-1], dtype=numpy.int64))
        return reshape(T.dot(reshape(a, (rows, left[-1])), b), left[:-1] + right[1:])
    vector = a.ndim == 1
    if vector:
        a, left = a.dimshuffle("x", 0), (1,) + left
    batch = numpy.broadcast(numpy.empty(left[:-2], bool), numpy.empty(right[:-2], bool)).shape
    count = int(numpy.prod(batch, dtype=numpy.int64))
    sides = []
    for value, shape in ((a, left), (b, right)):
        value = value if shape[:-2] == batch else broadcast_to(value, batch + shape[-2:])
        sides.append(reshape(value, (count,) + shape[-2:]))
    rows = () if vector else left[-2:-1]
    return reshape(T.batched_dot(*sides), batch + rows + right[-1:])


# Convolutions. Theano has them for two and three axes; one axis gets a second of extent 1.


def _widened(rank, *lists):
    return [list(one) + [fill] * (2 - rank) if rank == 1 else list(one) for one, fill in lists]


def Conv(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
):  # fmt: skip
    require(x, FLOATS, "convolutions")
    shape, kernel = extents(x), extents(w)
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = spatial_pads(shape[2:], spans_of(kernel[2:], dilations), strides, auto_pad, pads)
    if rank > 3:
        raise Unsupported("Theano convolves at most three axes")
    if rank == 3 and list(before) != list(after):
        x = padded(x, shape, [0, 0] + list(before), [0, 0] + list(after), 0)
        shape = shape[:2] + tuple(n + p + q for n, p, q in zip(shape[2:], before, after))
        before = after = [0] * 3
    if rank == 1:
        x, w, shape, kernel = x.dimshuffle(0, 1, 2, "x"), w.dimshuffle(0, 1, 2, "x"), shape + (1,), kernel + (1,)
    strides, dilations, before, after = _widened(rank, (strides, 1), (dilations, 1), (before, 0), (after, 0))
    border = tuple(p if p == q else (p, q) for p, q in zip(before, after))
    if any(isinstance(pair, tuple) for pair in border):
        border = tuple(zip(before, after))
    convolve = abstract_conv.conv3d if rank == 3 else abstract_conv.conv2d
    y = convolve(
        x, w, input_shape=shape, filter_shape=kernel, border_mode=border, subsample=tuple(strides),
        filter_flip=False, filter_dilation=tuple(dilations), num_groups=group,
    )  # fmt: skip
    if rank == 1:
        y = y[:, :, :, 0]
    return y if b is None else y + per_channel(b, rank + 2)


def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None,
):  # fmt: skip
    """The gradient of a convolution of the whole result, of which the pads are then cut off."""
    require(x, FLOATS, "convolutions")
    shape, kernel = extents(x), extents(w)
    rank = x.ndim - 2
    if rank > 3:
        raise Unsupported("Theano convolves at most three axes")
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    more = output_padding or [0] * rank
    whole = transposed_extents(shape[2:], spans_of(kernel[2:], dilations), strides, more)
    before, after = transposed_pads(shape[2:], whole, strides, auto_pad, pads, output_shape)
    channels = kernel[1] * group
    reached = [n - m for n, m in zip(whole, more)]
    more = [m + max(0, -q) for m, q in zip(more, after)]
    front = [max(0, -p) for p in before]
    cut = [slice(max(0, p), n + f - q) for p, q, n, f in zip(before, after, whole, front)]
    if rank == 1:
        x, w, kernel = x.dimshuffle(0, 1, 2, "x"), w.dimshuffle(0, 1, 2, "x"), kernel + (1,)
        reached.append(1)
    strides, dilations = _widened(rank, (strides, 1), (dilations, 1))
    backwards = abstract_conv.conv3d_grad_wrt_inputs if rank == 3 else abstract_conv.conv2d_grad_wrt_inputs
    y = backwards(
        x, w, input_shape=(shape[0], channels) + tuple(reached), filter_shape=kernel, border_mode="valid",
        subsample=tuple(strides), filter_flip=False, filter_dilation=tuple(dilations), num_groups=group,
    )  # fmt: skip
    y = y[:, :, :, 0] if rank == 1 else y
    y = padded(y, (shape[0], channels) + tuple(reached[:rank]), [0, 0] + front, [0, 0] + more, 0)
    y = y[tuple([slice(None), slice(None)] + cut)]
    return y if b is None else y + per_channel(b, rank + 2)


# Pools.

#: Windows that its own pool does not have (dilated ones, or of four axes) are taken element by element, up to these.
_TAPS = 64


class SharedMaxPool(Pool):
    """Theano's max pool, whose gradient goes in equal parts to the elements that are the maximum."""

    # workaround: Theano's goes in full to each of them, which is wrong where a border is constant

    def L_op(self, inputs, outputs, grads):
        x, window, stride, pad = inputs
        ones = T.ones_like(x)
        count = DownsampleFactorMaxGradGrad(ndim=self.ndim, ignore_border=self.ignore_border)(
            x, outputs[0], ones, window, stride, pad
        )
        slope = MaxPoolGrad(ndim=self.ndim, ignore_border=self.ignore_border)
        return [slope(x, outputs[0], grads[0] / count, window, stride, pad)] + [DisconnectedType()() for _ in range(3)]


def _pooled(x, shape, kernel, strides, pads, mode):
    """Theano's pool of the last one, two or three axes."""
    rank = len(kernel)
    if rank == 1:
        x, kernel, strides, pads = x.dimshuffle(*range(x.ndim), "x"), kernel + [1], strides + [1], pads + [0]
    kind = SharedMaxPool if mode == "max" else Pool
    pool = kind(ignore_border=True, mode=mode, ndim=len(kernel))
    y = pool(x, *[constant(one, "int64") for one in (kernel, strides, pads)])
    return y[..., 0] if rank == 1 else y


class _Windows:
    """Where the windows of a pool stand: so many, of these spans, over a tensor with these pads."""

    def __init__(self, x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode):
        self.shape = extents(x)
        rank = x.ndim - 2
        self.kernel = list(kernel_shape)
        self.strides, self.dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
        spans = spans_of(self.kernel, self.dilations)
        before, after = spatial_pads(self.shape[2:], spans, self.strides, auto_pad, pads)
        self.before, self.given = list(before), list(after)
        self.counts, self.after = [], []
        for extent, span, stride, p, q in zip(self.shape[2:], spans, self.strides, self.before, self.given):
            room = extent + p + q - span
            count = (-(-room // stride) if ceil_mode else room // stride) + 1
            if ceil_mode and (count - 1) * stride >= extent + p:
                count -= 1  # a window that would begin in the padding behind is left out
            self.counts.append(count)
            self.after.append(max(q, (count - 1) * stride + span - extent - p))

    def simple(self, limit):
        """Whether Theano's own padding will do: the same on both sides, and less than a window."""
        same = self.before == self.after and all(p < k for p, k in zip(self.before, self.kernel))
        return same and max(self.dilations) == 1 and len(self.kernel) <= limit

    def frame(self, x, number):
        return padded(x, self.shape, [0, 0] + self.before, [0, 0] + self.after, number)

    def cut(self, y):
        return y[tuple([slice(None)] * 2 + [slice(0, count) for count in self.counts])]

    def taps(self, x):
        """x seen through each element of the window; x has its frame."""
        for place in numpy.ndindex(*self.kernel):
            index = [slice(None), slice(None)]
            for i, count, stride, dilation in zip(place, self.counts, self.strides, self.dilations):
                index.append(slice(i * dilation, i * dilation + (count - 1) * stride + 1, stride))
            yield x[tuple(index)]

    def pooled(self, x, mode, number):
        if self.simple(3):
            return self.cut(_pooled(x, self.shape, self.kernel, self.strides, self.before, mode))
        if max(self.dilations) == 1 and len(self.kernel) <= 3:
            return self.cut(
                _pooled(self.frame(x, number), None, self.kernel, self.strides, [0] * len(self.kernel), mode)
            )
        if numpy.prod(self.kernel) > _TAPS:
            raise Unsupported("Theano pools such windows of more than %d elements in no way" % _TAPS)
        combine = T.maximum if mode == "max" else T.add
        result = None
        for tap in self.taps(self.frame(x, number)):
            result = tap if result is None else combine(result, tap)
        return result


def MaxPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None
):  # fmt: skip
    require(x, FLOATS, "pools")
    return _Windows(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode).pooled(x, "max", -numpy.inf)


def AveragePool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None
):  # fmt: skip
    require(x, FLOATS, "pools")
    windows = _Windows(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    if windows.simple(3) and (not count_include_pad or not any(windows.before) or windows.after == windows.given):
        mode = "average_inc_pad" if count_include_pad else "average_exc_pad"
        return windows.pooled(x, mode, 0)
    return windows.pooled(x, "sum", 0) / constant(_counted(windows, count_include_pad), x.dtype)


def _counted(windows, count_include_pad):
    """How many elements each window averages; what lies beyond the given padding is none."""
    counts = numpy.ones((1, 1) + (1,) * len(windows.kernel))
    axes = zip(windows.shape[2:], windows.kernel, windows.strides, windows.dilations, windows.before, windows.given)
    for axis, (extent, taps, stride, dilation, before, given) in enumerate(axes):
        places = numpy.arange(windows.counts[axis])[:, None] * stride + numpy.arange(taps) * dilation - before
        low, high = (-before, extent + given) if count_include_pad else (0, extent)
        inside = ((places >= low) & (places < high)).sum(1)
        counts = counts * inside.reshape([-1 if i == axis + 2 else 1 for i in range(counts.ndim)])
    return counts


def LpPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None
):  # fmt: skip
    require(x, FLOATS, "pools")
    windows = _Windows(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    power = constant(p, x.dtype)
    return windows.pooled(abs(x) ** power, "sum", 0) ** T.inv(power)


def GlobalAveragePool(x):
    return T.mean(x, axis=list(range(2, x.ndim)), keepdims=True)


def GlobalMaxPool(x):
    require(x, FLOATS, "maxima")
    return T.max(x, axis=list(range(2, x.ndim)), keepdims=True)


def GlobalLpPool(x, *, p=2):
    power = constant(p, x.dtype)
    return T.sum(abs(x) ** power, axis=list(range(2, x.ndim)), keepdims=True) ** T.inv(power)


# Normalisation.


def BatchNormalization(x, scale, bias, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    require(x, FLOATS, "batch normalisation")
    if x.ndim < 2:
        raise Unsupported("a tensor of rank %d" % x.ndim)
    if any(one.dtype != x.dtype for one in (scale, bias, mean, variance)):
        raise Unsupported("element types that differ")
    shape = [per_channel(one, x.ndim) for one in (scale, bias, mean, variance)]
    if not training_mode:
        scale, bias, mean, variance = shape
        return (x - mean) * (scale / T.sqrt(variance + constant(epsilon, x.dtype))) + bias
    scale, bias = shape[:2]
    axes = (0,) + tuple(range(2, x.ndim))
    # workaround: batch_normalization_train, which makes this, takes ONNX's epsilon for one below its limit, 1e-5
    epsilon = constant(epsilon, x.dtype)
    y, now_mean, inverse = bn.AbstractBatchNormTrain(axes=axes)(x, scale, bias, epsilon=epsilon)
    now_variance = T.inv(T.sqr(inverse)) - epsilon
    keep, add = constant(momentum, x.dtype), constant(1 - momentum, x.dtype)
    new_mean = mean * keep + now_mean.flatten() * add
    return y, new_mean, variance * keep + now_variance.flatten() * add


def _standardised(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon), the mean, and the inverse of the root."""
    mean = T.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    inverse = T.inv(T.sqrt(T.mean(T.sqr(centred), axis=axes, keepdims=True) + constant(epsilon, x.dtype)))
    return centred * inverse, mean, inverse


def InstanceNormalization(x, scale, bias, *, epsilon=1e-5):
    y, _, _ = _standardised(x, list(range(2, x.ndim)), epsilon)
    return y * per_channel(scale, x.ndim) + per_channel(bias, x.ndim)


def LayerNormalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    require(x, FLOATS, "layer normalisation")
    y, mean, inverse = _standardised(x, list(range(axis % x.ndim, x.ndim)), epsilon)
    y = y * scale
    return (y if bias is None else y + bias), mean, inverse


def GroupNormalization(x, scale, bias, *, epsilon=1e-5, num_groups, stash_type=1):
    require(x, FLOATS, "group normalisation")
    shape = extents(x)
    parts = reshape(x, (shape[0], num_groups, int(numpy.prod(shape[1:], dtype=numpy.int64)) // num_groups))
    y, _, _ = _standardised(parts, [2], epsilon)
    return reshape(y, shape) * per_channel(scale, x.ndim) + per_channel(bias, x.ndim)


def LpNormalization(x, *, axis=-1, p=2):
    size = abs(x) if p == 1 else T.sqr(x)
    norm = T.sum(size, axis=axis % x.ndim, keepdims=True)
    norm = norm if p == 1 else T.sqrt(norm)
    zero = T.eq(norm, constant(0, x.dtype))
    return T.switch(zero, constant(0, x.dtype), x / T.switch(zero, constant(1, x.dtype), norm))


def LRN(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    """The squares of `size` channels around each one, fewer at the ends."""
    shape = extents(x)
    before, after = (size - 1) // 2, size // 2
    rest = [0] * (x.ndim - 1)
    squares = padded(T.sqr(x), shape, [0, before] + rest[1:], [0, after] + rest[1:], 0)
    total = squares[:, 0 : shape[1]]
    for i in range(1, size):
        total = total + squares[:, i : i + shape[1]]
    scale = constant(bias, x.dtype) + constant(alpha / size, x.dtype) * total
    return x / scale ** constant(beta, x.dtype)


# Softmax. Theano's own is along the second axis of a matrix.


def _along_rows(function, x, axis):
    require(x, FLOATS, "softmax")
    if x.ndim == 0:
        raise Unsupported("a tensor of rank 0")
    shape, axis = extents(x), axis % x.ndim
    if 0 in shape:
        return x
    order = [i for i in range(x.ndim) if i != axis] + [axis]
    moved = [shape[i] for i in order]
    rows = int(numpy.prod(moved[:-1], dtype=numpy.int64))
    y = function(reshape(x.dimshuffle(*order), (rows, moved[-1])))
    return reshape(y, moved).dimshuffle(*[int(i) for i in numpy.argsort(order)])


def Softmax(x, *, axis=-1):
    return _along_rows(T.nnet.softmax, x, axis)


def LogSoftmax(x, *, axis=-1):
    return _along_rows(T.nnet.logsoftmax, x, axis)


def Hardmax(x, *, axis=-1):
    axis %= x.ndim
    first = T.argmax(x, axis=axis, keepdims=True)
    places = numpy.arange(extents(x)[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return T.eq(constant(places, "int64"), first).astype(x.dtype)
