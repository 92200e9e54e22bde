"""Reading images at positions that depend on data: GridSample, RoiAlign, DeformConv. Channels-last throughout."""

from __future__ import annotations

import itertools

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported


def _reflected(at, low, high):
    """Positions mirrored at two borders, as often as it takes."""
    length = high - low
    if length == 0:
        return tf.zeros_like(at)
    distance = tf.abs(at - low)
    turns = tf.floor(distance / length)
    rest = distance - turns * length
    return tf.where(turns % 2 == 0, rest + low, high - rest)


def _bordered(at, extent, padding, align_corners):
    """Positions brought into the image, where the padding says how."""
    if padding == "border":
        return tf.clip_by_value(at, 0, extent - 1)
    if padding == "reflection":
        low, high = (0.0, extent - 1.0) if align_corners else (-0.5, extent - 0.5)
        return tf.clip_by_value(_reflected(at, low, high), 0, extent - 1)
    return at


def read(x, places):
    """x: [N, spatial..., C]; places: [N, P, rank] whole positions. Zero outside of the image: [N, P, C]."""
    extents = numpy.array(x.shape.as_list()[1:-1])
    inside = tf.reduce_all((places >= 0) & (places < extents), axis=-1, keepdims=True)
    values = tf.gather_nd(x, tf.clip_by_value(places, 0, extents - 1), batch_dims=1)
    return tf.where(inside, values, tf.zeros_like(values))


def interpolated(x, at):
    """Linear in every spatial axis; zero outside. x: [N, spatial..., C]; at: [N, P, rank] -> [N, P, C]."""
    low = tf.floor(at)
    part = at - low
    base = tf.cast(low, tf.int64)
    total = 0
    for corner in itertools.product((0, 1), repeat=at.shape[-1]):
        weight = tf.reduce_prod(tf.where(numpy.array(corner, bool), part, 1 - part), axis=-1, keepdims=True)
        total += weight * read(x, base + numpy.array(corner))
    return total


def _cubic_weights(part, a):
    """Of the four pixels around a position, `part` past the second."""

    def near(d):
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _cubic(x, at, padding, align_corners):
    low = tf.floor(at)
    part = at - low
    weights = _cubic_weights(part, -0.75)
    extents = x.shape.as_list()[1:-1]
    total = 0
    for taps in itertools.product(range(4), repeat=at.shape[-1]):
        places, weight = [], 1
        for axis, tap in enumerate(taps):
            position = _bordered(low[..., axis] + (tap - 1), extents[axis], padding, align_corners)
            places.append(tf.cast(position, tf.int64))
            weight = weight * weights[tap][..., axis]
        total += tf.expand_dims(weight, -1) * read(x, tf.stack(places, axis=-1))
    return total


def grid_sample(x, grid, mode, padding, align_corners):
    """x: [N, spatial..., C]; grid: [N, out..., rank] in [-1, 1], its last axis in the order x, y, z."""
    rank = len(x.shape) - 2
    n, outputs = x.shape[0], grid.shape.as_list()[1:-1]
    extents = x.shape.as_list()[1:-1]
    at = tf.reshape(tf.reverse(grid, [-1]), [n, -1, rank])
    sizes = numpy.array(extents, numpy.float64).astype(grid.dtype.as_numpy_dtype)
    at = (at + 1) / 2 * (sizes - 1) if align_corners else ((at + 1) * sizes - 1) / 2
    if mode == "nearest":
        at = tf.round(at)
    if mode in ("nearest", "linear", "bilinear"):
        parts = [_bordered(at[..., axis], extents[axis], padding, align_corners) for axis in range(rank)]
        at = tf.stack(parts, axis=-1)
    if mode == "nearest":
        y = read(x, tf.cast(at, tf.int64))
    elif mode in ("linear", "bilinear"):
        y = interpolated(x, at)
    elif mode in ("cubic", "bicubic") and rank == 2:
        y = _cubic(x, at, padding, align_corners)
    else:
        raise Unsupported("mode {!r} with {} spatial axes".format(mode, rank))
    return tf.reshape(y, [n] + outputs + [x.shape[-1]])


def deformed_convolution(x, w, offset, mask, window, groups, offset_groups):
    """x: [N, H, W, C]; w: [M, C / groups, kh, kw]; offset: [N, 2 * G * kh * kw, oh, ow], y before x."""
    if len(window.kernel) != 2:
        raise Unsupported("{} spatial axes".format(len(window.kernel)))
    n, channels = x.shape[0], x.shape[-1]
    taps, (rows, columns) = window.kernel[0] * window.kernel[1], window.outputs
    axes = [numpy.arange(o) * s - pad[0] for o, s, pad in zip(window.outputs, window.strides, window.given)]
    steps = [numpy.arange(k) * d for k, d in zip(window.kernel, window.dilations)]
    tap_grid = numpy.stack(numpy.meshgrid(*steps, indexing="ij"), -1).reshape(taps, 1, 1, 2)
    base = tap_grid + numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1)
    moves = tf.transpose(tf.reshape(offset, [n, offset_groups, taps, 2, rows, columns]), [0, 1, 2, 4, 5, 3])
    at = tf.reshape(moves + base.astype(offset.dtype.as_numpy_dtype), [n, offset_groups, -1, 2])
    parts = tf.split(x, offset_groups, axis=-1)
    read_parts = [interpolated(part, at[:, group]) for group, part in enumerate(parts)]
    samples = tf.stack([tf.reshape(part, [n, taps, rows, columns, -1]) for part in read_parts], axis=4)
    if mask is not None:
        weights = tf.reshape(mask, [n, offset_groups, taps, rows, columns])
        samples = samples * tf.expand_dims(tf.transpose(weights, [0, 2, 3, 4, 1]), -1)
    samples = tf.reshape(samples, [n, taps, rows, columns, groups, channels // groups])
    kernel = tf.reshape(w, [groups, -1, channels // groups, taps])
    y = tf.einsum("ntrcgi,gmit->nrcgm", samples, kernel)
    return tf.reshape(y, [n, rows, columns, -1])


def region_align(x, regions, batches, size, ratio, scale, aligned, mode):
    """x: [N, H, W, C]; regions: [R, 4] as x1, y1, x2, y2 -> [R, height, width, C]. One fixed grid per cell."""
    if ratio <= 0:
        raise Unsupported("sampling_ratio=0, a grid whose size depends on data")
    count = regions.shape[0]
    corners = regions * scale - (0.5 if aligned else 0.0)
    starts, ends = tf.reverse(corners[:, :2], [-1]), tf.reverse(corners[:, 2:], [-1])
    extent = ends - starts if aligned else tf.maximum(ends - starts, 1)
    grids = []
    for axis in range(2):
        steps = (numpy.arange(size[axis] * ratio) + 0.5) / (ratio * size[axis])
        grids.append(starts[:, axis : axis + 1] + extent[:, axis : axis + 1] * steps.astype("float32"))
    rows, columns = grids
    shape = [count, size[0] * ratio, size[1] * ratio]
    at = tf.stack([tf.broadcast_to(rows[:, :, None], shape), tf.broadcast_to(columns[:, None, :], shape)], axis=-1)
    at = tf.reshape(at, [count, -1, 2])
    limits = numpy.array(x.shape.as_list()[1:3], "float32")
    outside = tf.reduce_any((at < -1) | (at > limits), axis=-1, keepdims=True)
    image = tf.gather(x, batches)
    values, joined = _corners(image, tf.clip_by_value(at, 0, limits - 1), mode)
    values = tf.where(outside, tf.zeros_like(values), values)
    cells = tf.reshape(values, [count, size[0], ratio, size[1], ratio, x.shape[-1]])
    return joined(cells, axis=[2, 4])


def _corners(image, at, mode):
    """Samples and how a cell joins them. ONNX's max is over the four weighted corners, not over their sum."""
    if mode == "avg":
        return interpolated(image, at), tf.reduce_mean
    if mode != "max":
        raise Unsupported("mode {!r}".format(mode))
    low = tf.floor(at)
    part = at - low
    weighted = []
    for corner in itertools.product((0, 1), repeat=2):
        weight = tf.reduce_prod(tf.where(numpy.array(corner, bool), part, 1 - part), axis=-1, keepdims=True)
        weighted.append(weight * read(image, tf.cast(low, tf.int64) + numpy.array(corner)))
    return tf.reduce_max(tf.stack(weighted), axis=0), tf.reduce_max
