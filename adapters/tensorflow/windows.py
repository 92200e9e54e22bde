"""Convolutions and pools over channels-last tensors, with ONNX's paddings. 1 to 3 spatial axes."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported
from ..kit.windows import positions, reach_after, spans_of, spatial_pads
from .target import target


def to_channels_last(x):
    """[N, C, ...] -> [N, ..., C]"""
    rank = len(x.shape)
    return tf.transpose(x, [0] + list(range(2, rank)) + [1])


def to_channels_first(x):
    """[N, ..., C] -> [N, C, ...]"""
    rank = len(x.shape)
    return tf.transpose(x, [0, rank - 1] + list(range(1, rank - 1)))


def kernel_to_channels_last(w):
    """[O, I, ...] -> [..., I, O]"""
    return tf.transpose(w, list(range(2, len(w.shape))) + [1, 0])


class Window:
    """Where a window of `kernel` taps stands on each spatial axis.

    extents: of the image, on its spatial axes.
    pads: [(begin, end), ...], with what ceil_mode adds at the end; given: the pads without that.
    outputs: the number of positions on each axis.
    """

    def __init__(self, extents, kernel, strides=None, dilations=None, pads=None, auto_pad="NOTSET", ceil_mode=0):
        self.extents = list(extents)
        rank = len(self.extents)
        self.kernel = [int(extent) for extent in kernel]
        self.strides = list(strides or [1] * rank)
        self.dilations = list(dilations or [1] * rank)
        if len(self.kernel) != rank or len(self.strides) != rank or len(self.dilations) != rank:
            raise Unsupported("{} spatial axes, but a kernel of {}".format(rank, self.kernel))
        self.spans = spans_of(self.kernel, self.dilations)
        before, after = spatial_pads(self.extents, self.spans, self.strides, auto_pad, pads)
        self.given = list(zip(before, after))
        if any(pad < 0 for pair in self.given for pad in pair):
            raise Unsupported("negative pads")
        self.outputs = positions(self.extents, self.spans, self.strides, before, after, ceil_mode)
        reach = reach_after(self.extents, self.spans, self.strides, before, self.outputs)
        self.pads = list(zip(before, map(max, reach, after)))

    @property
    def valid(self):
        return not any(pad for pair in self.pads for pad in pair)

    @property
    def same(self):
        """Whether these are the pads of TensorFlow's "SAME"."""
        pads = list(zip(*spatial_pads(self.extents, self.spans, self.strides, "SAME_UPPER", None)))
        outputs = [-(-extent // stride) for extent, stride in zip(self.extents, self.strides)]
        return (self.pads, self.outputs) == (pads, outputs)

    @property
    def explicit(self):
        """The pads in the form of tf.nn and tf.pad: one pair for every axis."""
        return [[0, 0]] + [list(pair) for pair in self.pads] + [[0, 0]]

    @property
    def padding(self):
        return "VALID" if self.valid else "SAME" if self.same else self.explicit

    @property
    def dilated(self):
        return any(dilation > 1 for dilation in self.dilations)

    def padded(self, x, value=0):
        if self.valid:
            return x
        return tf.pad(x, self.explicit, constant_values=tf.cast(value, x.dtype))

    def taps(self, count_padding):
        """How many taps of each window lie on the image (or on the given padding): [1, outputs..., 1]."""
        counts = numpy.ones((1,))
        for axis, outputs in enumerate(self.outputs):
            begin, end = self.given[axis] if count_padding else (0, 0)
            starts = numpy.arange(outputs)[:, None] * self.strides[axis] - self.given[axis][0]
            at = starts + numpy.arange(self.kernel[axis]) * self.dilations[axis]
            inside = ((at >= -begin) & (at < self.extents[axis] + end)).sum(axis=1)
            counts = counts[..., None] * inside
        return counts[..., None]


def _two_axes(x, window):
    """A sequence as an image of height 1; `window` is adapted in place."""
    for name, value in (("extents", 1), ("kernel", 1), ("strides", 1), ("dilations", 1), ("spans", 1), ("outputs", 1)):
        setattr(window, name, [value] + getattr(window, name))
    window.pads, window.given = [(0, 0)] + window.pads, [(0, 0)] + window.given
    return tf.expand_dims(x, 1)


def convolve(x, w, window, groups):
    """x: [N, ..., C]; w: [..., C / groups, M]."""
    if len(window.kernel) == 1:
        x = _two_axes(x, window)
        return tf.squeeze(convolve(x, tf.expand_dims(w, 0), window, groups), 1)
    if len(window.kernel) == 3:
        # workaround: TensorFlow's 3-D convolutions know neither explicit padding nor groups.
        x = window.padded(x)
        strides, dilations = [1] + window.strides + [1], [1] + window.dilations + [1]
        return _by_group(x, w, groups, lambda x, w: tf.nn.conv3d(x, w, strides, "VALID", dilations=dilations))
    if len(window.kernel) != 2:
        raise Unsupported("{} spatial axes".format(len(window.kernel)))
    if groups > 1 and groups == x.shape[-1] and _depthwise_kernel_can(window):
        return _depthwise(x, w, window, groups)
    if target().kernels_on_cpu and target().training:
        # workaround: TensorFlow's CPU kernels compute no gradient of a grouped or dilated convolution that is padded
        # explicitly, and none at all without oneDNN.
        one = _dilated_for_gradients if window.dilated else _plain
        return _by_group(x, w, groups, lambda x, w: one(x, w, window))
    return _plain(x, w, window)


def _plain(x, w, window):
    if target().rounds(x.dtype) and not target().compiled:
        # workaround: TensorFlow's CPU kernels round halves between the terms of a sum
        return tf.cast(_plain(tf.cast(x, tf.float32), tf.cast(w, tf.float32), window), x.dtype)
    return tf.nn.conv2d(x, w, window.strides, window.padding, dilations=window.dilations)


def _by_group(x, w, groups, convolution):
    if groups == 1:
        return convolution(x, w)
    pairs = zip(tf.split(x, groups, axis=-1), tf.split(w, groups, axis=-1))
    return tf.concat([convolution(*pair) for pair in pairs], axis=-1)


def _dilated_for_gradients(x, w, window):
    """A dilated convolution as a plain one on every d-th pixel; strides are taken of its result."""

    def plain(batch, num_spatial_dims, padding):
        return tf.nn.conv2d(batch, w, 1, padding)

    x = window.padded(x)
    y = tf.compat.v1.nn.with_space_to_batch(x, window.dilations, "VALID", plain, spatial_dims=[1, 2])
    return y[:, :: window.strides[0], :: window.strides[1], :]


def _depthwise_kernel_can(window):
    equal = len(set(window.strides)) == 1 and len(set(window.dilations)) == 1
    return equal and (not window.dilated or window.strides == [1, 1])


def _depthwise(x, w, window, groups):
    """ONNX orders the outputs by input channel, then multiplier: the last axis of w only has to be split."""
    kernel = tf.reshape(w, window.kernel + [groups, w.shape[-1] // groups])
    # workaround: TensorFlow's CPU kernels round halves between the terms of a sum
    if x.dtype.size == 2 and target().kernels_on_cpu:
        return tf.cast(_depthwise(tf.cast(x, tf.float32), tf.cast(w, tf.float32), window, groups), x.dtype)
    strides = [1] + window.strides + [1]
    padding = window.padding
    if window.dilated or (target().kernels_on_cpu and not isinstance(padding, str)):
        # workaround: the process dies where Grappler fuses a bias into one that is padded explicitly on the CPU
        x, padding = window.padded(x), "VALID"
    return tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=window.dilations)


def convolve_transposed(x, w, strides, dilations, groups, outputs, begins):
    """x: [N, ..., C]; w: [..., M / groups, C]. The result is cut from the full one at `begins`, `outputs` long."""
    rank = len(x.shape) - 2
    if rank == 1:
        x, w = tf.expand_dims(x, 1), tf.expand_dims(w, 0)
        parts = convolve_transposed(x, w, [1] + strides, [1] + dilations, groups, [1] + outputs, [0] + begins)
        return tf.squeeze(parts, 1)
    if any(dilation > 1 for dilation in dilations):
        w = _stretched(w, dilations)
    kernel, channels = [int(extent) for extent in w.shape[:rank]], int(w.shape[-2])
    if any(k < s for k, s in zip(kernel, strides)):
        # A stride past the kernel leaves gaps that TensorFlow's shape check does not know.
        w = tf.pad(w, [[0, max(s - k, 0)] for k, s in zip(kernel, strides)] + [[0, 0], [0, 0]])
        kernel = [max(k, s) for k, s in zip(kernel, strides)]
    full = [(int(n) - 1) * s + k for n, s, k in zip(x.shape[1:-1], strides, kernel)]
    shape = [int(x.shape[0])] + full + [channels]
    operation = {2: tf.nn.conv2d_transpose, 3: tf.nn.conv3d_transpose}[rank]

    def one(x, w):
        return operation(x, w, shape, strides, "VALID")

    if groups == 1:
        y = one(x, w)
    else:
        # workaround: TensorFlow's transposed 3-D convolutions know no groups.
        y = tf.concat([one(*p) for p in zip(tf.split(x, groups, -1), tf.split(w, groups, -1))], axis=-1)
    ends = [max(b + o - f, 0) for b, o, f in zip(begins, outputs, full)]
    if any(ends):
        y = tf.pad(y, [[0, 0]] + [[0, end] for end in ends] + [[0, 0]])
    if outputs == full and not any(begins):
        return y
    return y[(slice(None),) + tuple(slice(b, b + o) for b, o in zip(begins, outputs))]


def _stretched(w, dilations):
    # workaround: TensorFlow's CPU kernels dilate no transposed convolution; zeros between the taps do the same
    for axis, dilation in enumerate(dilations):
        if dilation > 1:
            extent = int(w.shape[axis])
            shape = [int(e) for e in w.shape]
            w = tf.expand_dims(w, axis + 1)
            w = tf.pad(w, [[0, dilation - 1 if i == axis + 1 else 0] for i in range(len(shape) + 1)])
            w = tf.reshape(w, shape[:axis] + [extent * dilation] + shape[axis + 1 :])
            w = tf.gather(w, numpy.arange((extent - 1) * dilation + 1), axis=axis)
    return w


def lowest(dtype):
    return -numpy.inf if dtype.is_floating else dtype.min


def max_pool(x, window):
    if len(window.kernel) == 1:
        x = _two_axes(x, window)
        return tf.squeeze(max_pool(x, window), 1)
    # workaround: XLA's pools have no explicit padding.
    if len(window.kernel) == 2 and not window.dilated and not target().compiled:
        return tf.nn.max_pool2d(x, window.kernel, window.strides, window.padding)
    return _pool(window.padded(x, lowest(x.dtype)), window, "MAX")


def _pool(x, window, kind):
    if not window.dilated and not any(s > k for s, k in zip(window.strides, window.kernel)):
        return tf.nn.pool(x, window.kernel, kind, window.strides, "VALID")
    # workaround: a dilated pool has no strides, and no stride may pass the window; they are taken of the dense result
    y = tf.nn.pool(x, window.kernel, kind, None, "VALID", dilations=window.dilations)
    return y[(slice(None),) + tuple(slice(None, None, stride) for stride in window.strides)]


def average_pool(x, window, count_padding):
    if len(window.kernel) == 1:
        x = _two_axes(x, window)
        return tf.squeeze(average_pool(x, window, count_padding), 1)
    if window.valid:
        return _pool(x, window, "AVG")
    if window.same and not count_padding and not window.dilated and len(window.kernel) == 2:
        return tf.nn.avg_pool2d(x, window.kernel, window.strides, "SAME")
    # workaround: TensorFlow's average pools have no explicit padding; zeros are averaged in, and weighed out again.
    scale = numpy.prod(window.kernel) / window.taps(count_padding)
    y = _pool(window.padded(x), window, "AVG")
    return y if (scale == 1).all() else y * tf.constant(scale, x.dtype)


def sum_pool(x, window):
    if len(window.kernel) == 1:
        x = _two_axes(x, window)
        return tf.squeeze(sum_pool(x, window), 1)
    return _pool(window.padded(x), window, "AVG") * tf.cast(numpy.prod(window.kernel), x.dtype)
