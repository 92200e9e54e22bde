"""Convolutions, pools and norms over images.

All of them compute with the channels last, which XLA's CPU kernels want; layout="NHWC" says that an image is so
already, without it the channels are the second axis.
"""

from __future__ import annotations

import functools

import numpy

import jax.numpy as jnp
from jax import lax

from ..kit.interface import Unsupported
from ..kit.windows import positions, reach_after, spans_of, spatial_pads, transposed_extents, transposed_pads
from .dtypes import is_float, type_of, wide
from .reductions import _bounds
from .shapes import padded


def _image(x, layout):
    return x if layout == "NHWC" else jnp.moveaxis(x, 1, -1)


def _back(y, layout):
    return y if layout == "NHWC" else jnp.moveaxis(y, -1, 1)


def _kernel(w, layout):
    """[spatial..., I / group, O], as the layout planner keeps it, from [O, I / group, spatial...]."""
    return w if layout == "NHWC" else jnp.transpose(w, [*range(2, w.ndim), 1, 0])


def _convolved(x, w, strides, around, dilations, group, spread=None):
    axes = "".join(chr(ord("a") + i) for i in range(x.ndim - 2))
    numbers = "N" + axes + "C", axes + "IO", "N" + axes + "C"
    return lax.conv_general_dilated(
        x, w, strides, around, lhs_dilation=spread, rhs_dilation=dilations, dimension_numbers=numbers,
        feature_group_count=group,
    )  # fmt: skip


def Conv(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
    layout="NCHW",
):  # fmt: skip
    image, w = _image(x, layout), _kernel(w, layout)
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = spatial_pads(image.shape[1:-1], spans_of(w.shape[:-2], dilations), strides, auto_pad, pads)
    y = _convolved(image, w, strides, list(zip(before, after)), dilations, group)
    return _back(y if b is None else y + b, layout)


def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None, layout="NCHW",
):  # fmt: skip
    """A convolution of the spread image by the kernel turned around."""
    image, w = _image(x, layout), _kernel(w, layout)
    extents, kernel, rank = image.shape[1:-1], w.shape[:-2], x.ndim - 2
    strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    spans = spans_of(kernel, dilations)
    whole = transposed_extents(extents, spans, strides, extra)
    begins, ends = transposed_pads(extents, whole, strides, auto_pad, pads, output_shape)
    around = [(s - 1 - begin, s - 1 - end + more) for s, begin, end, more in zip(spans, begins, ends, extra)]
    w = jnp.flip(w, range(rank)).reshape(*kernel, w.shape[-2], group, -1)
    w = jnp.swapaxes(w, -1, -3).reshape(*kernel, -1, group * w.shape[-3])
    y = _convolved(image, w, [1] * rank, around, dilations, group, strides)
    return _back(y if b is None else y + b, layout)


class _Window:
    """Where a pool's windows stand on an image with the channels last."""

    def __init__(self, image, kernel, strides, dilations, auto_pad, pads, ceil_mode):
        rank = len(kernel)
        self.kernel, self.extents = list(kernel), image.shape[1:-1]
        self.strides, self.dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
        spans = spans_of(kernel, self.dilations)
        self.before, self.after = spatial_pads(self.extents, spans, self.strides, auto_pad, pads)
        self.counts = positions(self.extents, spans, self.strides, self.before, self.after, ceil_mode)
        reach = reach_after(self.extents, spans, self.strides, self.before, self.counts)
        #: What is added before and after, so that rounding down makes as many windows; negative where it crops.
        self.around = list(zip(self.before, reach))

    def reduced(self, image, start, function):
        """Every window by a function of two elements that `start` leaves as they are."""
        if min(after for _, after in self.around) < 0:
            image = padded(image, [(0, 0), *((0, min(after, 0)) for _, after in self.around), (0, 0)])
        around = [(0, 0), *((before, max(after, 0)) for before, after in self.around), (0, 0)]
        dims, strides, dilations = ((1, *sizes, 1) for sizes in (self.kernel, self.strides, self.dilations))
        return lax.reduce_window(image, start, function, dims, strides, around, None, dilations)

    def sums(self, image):
        return self.reduced(image, numpy.zeros((), image.dtype)[()], lax.add)

    def sizes(self, with_padding):
        """How many elements of the image, or of what it is padded to, each window holds: [spatial..., 1]."""
        axes = []
        for i, count in enumerate(self.counts):
            places = numpy.arange(count)[:, None] * self.strides[i] - self.before[i]
            places = places + numpy.arange(self.kernel[i]) * self.dilations[i]
            low, high = (-self.before[i], self.extents[i] + self.after[i]) if with_padding else (0, self.extents[i])
            axes.append(((places >= low) & (places < high)).sum(1))
        return functools.reduce(numpy.multiply.outer, axes)[..., None]

    def taps(self, image, value):
        """The image at each tap of all windows: one array of the output's shape a tap, in the order of the taps."""
        grown = padded(image, [(0, 0), *self.around, (0, 0)], value)
        for tap in numpy.ndindex(*self.kernel):
            starts = [t * d for t, d in zip(tap, self.dilations)]
            stops = [a + (n - 1) * s + 1 for a, n, s in zip(starts, self.counts, self.strides)]
            index = [slice(a, z, s) for a, z, s in zip(starts, stops, self.strides)]
            yield grown[(slice(None), *index)]


def MaxPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None,
    layout="NCHW",
):  # fmt: skip
    """The second output only channels-first: it counts in that order."""
    image = _image(x, layout)
    window = _Window(image, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    lowest = numpy.asarray(_bounds(x.dtype)[0], x.dtype)[()]
    y = window.reduced(image, lowest, lax.max)
    if layout == "NHWC":
        return y
    return _back(y, layout), _places(image, window, lowest, storage_order)


def _places(image, window, lowest, storage_order):
    """Where in the whole tensor, channels-first, the first largest element of each window lies."""
    batch, *extents, channels = image.shape
    axes = range(len(extents)) if storage_order == 0 else range(len(extents) - 1, -1, -1)
    grid = numpy.indices(extents)
    flat = functools.reduce(lambda position, axis: position * extents[axis] + grid[axis], axes, 0)
    planes = numpy.arange(batch * channels).reshape([batch] + [1] * len(extents) + [channels]) * flat.size
    flat = jnp.asarray(planes + flat.reshape([1, *extents, 1]), jnp.int64)
    values = jnp.stack(list(window.taps(image, lowest)), -1)
    found = jnp.stack(list(window.taps(flat, -1)), -1)
    best = jnp.where(found < 0, False, values == values.max(-1, keepdims=True)).argmax(-1, keepdims=True)
    return _back(jnp.take_along_axis(found, best, -1)[..., 0], "NCHW")


def AveragePool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None,
    layout="NCHW",
):  # fmt: skip
    image = wide(_image(x, layout))
    window = _Window(image, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    sizes = window.sizes(count_include_pad)
    y = window.sums(image) / jnp.asarray(sizes if (sizes != sizes.flat[0]).any() else sizes.flat[0], image.dtype)
    return _back(y.astype(x.dtype), layout)


def LpPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None, layout="NCHW"
):
    image = _image(x, layout)
    window = _Window(image, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return _back(window.sums(jnp.abs(image) ** p) ** (1 / p), layout)


def _spatial(x, layout):
    return tuple(range(1, x.ndim - 1)) if layout == "NHWC" else tuple(range(2, x.ndim))


def GlobalAveragePool(x, *, layout="NCHW"):
    return jnp.mean(x, _spatial(x, layout), keepdims=True)


def GlobalMaxPool(x, *, layout="NCHW"):
    return jnp.max(x, _spatial(x, layout), keepdims=True)


def GlobalLpPool(x, *, p=2, layout="NCHW"):
    return jnp.sum(jnp.abs(x) ** p, _spatial(x, layout), keepdims=True) ** (1 / p)


# Norms


def _channelwise(v, x, layout):
    """[C] so that it broadcasts against an image."""
    return v if layout == "NHWC" else v.reshape([-1] + [1] * (x.ndim - 2))


def BatchNormalization(x, scale, bias, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0, layout="NCHW"):
    image = wide(x)
    running = mean, variance
    if training_mode:
        axes = (0, *_spatial(x, layout))
        centre = jnp.mean(image, axes, keepdims=True)
        mean = centre.reshape(-1)
        variance = jnp.mean(jnp.square(image - centre), axes)
    factor = wide(scale) * lax.rsqrt(wide(variance) + epsilon)
    offset = wide(bias) - wide(mean) * factor
    if training_mode:
        y = (image - centre) * _channelwise(factor, x, layout) + _channelwise(wide(bias), x, layout)
    else:
        y = image * _channelwise(factor, x, layout) + _channelwise(offset, x, layout)
    if not training_mode:
        return y.astype(x.dtype)
    new = [old * momentum + batch.astype(old.dtype) * (1 - momentum) for old, batch in zip(running, (mean, variance))]
    return (y.astype(x.dtype), *new)


def _standardised(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon) over axes, the mean, and what the division multiplies by."""
    mean = jnp.mean(x, axes, keepdims=True)
    factor = lax.rsqrt(jnp.mean(jnp.square(x - mean), axes, keepdims=True) + epsilon)
    return (x - mean) * factor, mean, factor


def InstanceNormalization(x, scale, bias, *, epsilon=1e-5, layout="NCHW"):
    y, _, _ = _standardised(wide(x), _spatial(x, layout), epsilon)
    return (y * _channelwise(scale, x, layout) + _channelwise(bias, x, layout)).astype(x.dtype)


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type="float32", layout="NCHW"):
    if layout == "NHWC":
        split, axes = [*x.shape[:-1], num_groups, -1], (*range(1, x.ndim - 1), x.ndim)
    else:
        split, axes = [x.shape[0], num_groups, -1, *x.shape[2:]], tuple(range(2, x.ndim + 1))
    y, _, _ = _standardised(x.reshape(split).astype(type_of(stash_type)), axes, epsilon)
    return y.reshape(x.shape).astype(x.dtype) * _channelwise(scale, x, layout) + _channelwise(bias, x, layout)


def LayerNormalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, mean, factor = _standardised(x.astype(type_of(stash_type)), axes, epsilon)
    y = y.astype(x.dtype) * scale
    return (y if bias is None else y + bias), mean, factor


def RMSNormalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    image = x.astype(type_of(stash_type))
    power = jnp.mean(jnp.square(image), tuple(range(axis % x.ndim, x.ndim)), keepdims=True)
    return (image * lax.rsqrt(power + epsilon)).astype(x.dtype) * scale


def LRN(x, *, size, alpha=0.0001, beta=0.75, bias=1.0, layout="NCHW"):
    if not is_float(x):
        raise Unsupported("integers")
    image = _image(x, layout)
    around = [(0, 0)] * (x.ndim - 1) + [((size - 1) // 2, size // 2)]
    ones = (1,) * (x.ndim - 1)
    zero = numpy.zeros((), x.dtype)[()]
    sums = lax.reduce_window(image * image, zero, lax.add, (*ones, size), (*ones, 1), around)
    return _back(image / (bias + alpha / size * sums) ** beta, layout)
