"""Operators on images: convolutions, pools, resizing and sampling.

Convolutions and pools take layout="NHWC" from the layout planner; without it they transpose around TensorFlow's
channels-last kernels, the only ones that a CPU has.
"""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from ..kit.windows import spans_of, transposed_extents, transposed_pads
from .common import extents, is_float, known, on_images, spatial_axes
from .resize import resized
from .sampling import deformed_convolution, grid_sample, region_align
from .shapes import Pad
from .target import target
from .windows import (
    Window,
    average_pool,
    convolve,
    convolve_transposed,
    kernel_to_channels_last,
    lowest,
    max_pool,
    sum_pool,
    to_channels_first,
    to_channels_last,
)


def _spatial_extents(x, layout):
    return [extents(x)[axis] for axis in spatial_axes(x, layout)]


def Conv(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
    layout="NCHW",
):  # fmt: skip
    if layout == "NCHW":
        w = kernel_to_channels_last(w)
    window = Window(_spatial_extents(x, layout), extents(w)[:-2], strides, dilations, pads, auto_pad)

    def convolution(x):
        y = convolve(x, w, window, group)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, layout, convolution)


def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None, layout="NCHW",
):  # fmt: skip
    if layout == "NCHW":
        w = kernel_to_channels_last(w)
    inputs, kernel = _spatial_extents(x, layout), extents(w)[:-2]
    rank = len(inputs)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extra = output_padding or [0] * rank
    whole = transposed_extents(inputs, spans_of(kernel, dilations), strides, extra)
    begins, ends = transposed_pads(inputs, whole, strides, auto_pad, pads, output_shape)
    outputs = [extent - begin - end for extent, begin, end in zip(whole, begins, ends)]
    if min(begins) < 0 or min(outputs) < 0:
        raise Unsupported("an output larger than what the inputs reach")

    def convolution(x):
        y = convolve_transposed(x, w, list(strides), list(dilations), group, outputs, begins)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, layout, convolution)


def MaxPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None,
    layout="NCHW",
):  # fmt: skip
    """The second output, where the largest elements lie, only channels-first: it counts in that order."""
    window = Window(_spatial_extents(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    plain = len(window.kernel) == 2 and not window.dilated and is_float(x)
    if layout == "NCHW" and plain and not target().compiled:
        return _max_pool_and_places(x, window, storage_order)
    # workaround: TensorFlow's 3-D pools take no integers.
    narrow = x.dtype if x.dtype.size == 1 else None
    if narrow:
        x = tf.cast(x, tf.float32)
    y = on_images(x, layout, lambda x: max_pool(x, window))
    return tf.cast(y, narrow) if narrow else y


def _max_pool_and_places(x, window, storage_order):
    image = window.padded(to_channels_last(x), lowest(x.dtype))
    _, height, width, channels = extents(image)
    strides = [1] + window.strides + [1]
    y, flat = tf.nn.max_pool_with_argmax(image, [1] + window.kernel + [1], strides, "VALID")
    pixel = flat // channels
    row, column = pixel // width - window.pads[0][0], pixel % width - window.pads[1][0]
    n, channels, height, width = extents(x)
    plane = numpy.arange(n * channels).reshape(n, 1, 1, channels) * (height * width)
    places = plane + (column * height + row if storage_order else row * width + column)
    return to_channels_first(y), to_channels_first(places)


def AveragePool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None,
    layout="NCHW",
):  # fmt: skip
    window = Window(_spatial_extents(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return on_images(x, layout, lambda x: average_pool(x, window, count_include_pad))


def LpPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None, layout="NCHW"
):
    window = Window(_spatial_extents(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return on_images(x, layout, lambda x: sum_pool(tf.abs(x) ** p, window) ** (1 / p))


def GlobalAveragePool(x, *, layout="NCHW"):
    return tf.reduce_mean(x, spatial_axes(x, layout), keepdims=True)


def GlobalMaxPool(x, *, layout="NCHW"):
    return tf.reduce_max(x, spatial_axes(x, layout), keepdims=True)


def GlobalLpPool(x, *, p=2, layout="NCHW"):
    return tf.reduce_sum(tf.abs(x) ** p, spatial_axes(x, layout), keepdims=True) ** (1 / p)


def Resize(
    x, roi=None, scales=None, sizes=None, *, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch", mode="nearest",
    nearest_mode="round_prefer_floor",
):  # fmt: skip
    return resized(
        x,
        known(roi, "roi"),
        known(scales, "scales"),
        known(sizes, "sizes"),
        antialias=antialias,
        axes=axes,
        transformation=coordinate_transformation_mode,
        cubic=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation=extrapolation_value,
        policy=keep_aspect_ratio_policy,
        mode=mode,
        nearest=nearest_mode,
    )


def GridSample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    return on_images(x, "NCHW", lambda x: grid_sample(x, grid, mode, padding_mode, align_corners))


def DeformConv(
    x, w, offset, b=None, mask=None, *, dilations=None, group=1, kernel_shape=None, offset_group=1, pads=None,
    strides=None,
):  # fmt: skip
    window = Window(extents(x)[2:], extents(w)[2:], strides, dilations, pads)

    def convolution(x):
        y = deformed_convolution(x, w, offset, mask, window, group, offset_group)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, "NCHW", convolution)


def RoiAlign(
    x, regions, batches, *, coordinate_transformation_mode="half_pixel", mode="avg", output_height=1, output_width=1,
    sampling_ratio=0, spatial_scale=1.0,
):  # fmt: skip
    aligned = coordinate_transformation_mode == "half_pixel"
    size = (output_height, output_width)
    image = to_channels_last(x)
    return to_channels_first(region_align(image, regions, batches, size, sampling_ratio, spatial_scale, aligned, mode))


def MaxUnpool(x, places, output_shape=None, *, kernel_shape, pads=None, strides=None):
    rank = len(kernel_shape)
    strides, pads = strides or [1] * rank, pads or [0] * (2 * rank)
    inputs = extents(x)[2:]
    natural = [
        (n - 1) * s - pads[i] - pads[i + rank] + kernel_shape[i] for i, (n, s) in enumerate(zip(inputs, strides))
    ]
    shape = extents(x)[:2] + natural
    flat = tf.scatter_nd(tf.reshape(places, [-1, 1]), tf.reshape(x, [-1]), [element_count(shape)])
    y = tf.reshape(flat, shape)
    if output_shape is None:
        return y
    wanted = known(output_shape, "output_shape")
    return Pad(y, [0] * len(shape) + [after - before for before, after in zip(shape, wanted)])
