"""ONNX's Resize: each axis by itself, as weights of the input positions that an output position reads."""

from __future__ import annotations

import math

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported


def _positions(extent, wanted, scale, transformation, roi):
    """Where on the input axis each output position lies. ONNX's length of the output is not rounded here."""
    at = numpy.arange(wanted, dtype=numpy.float64)
    length = extent * scale
    if transformation == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if transformation == "half_pixel_symmetric":
        # The middle of the image stays its middle.
        return extent / 2 * (1 - wanted / length) + (at + 0.5) / scale - 0.5
    if transformation == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if length > 1 else numpy.full(wanted, -0.5)
    if transformation == "align_corners":
        return at * (extent - 1) / (length - 1) if length != 1 else numpy.zeros(wanted)
    if transformation == "asymmetric":
        return at / scale
    if transformation == "tf_crop_and_resize":
        start, end = roi
        if length > 1:
            return start * (extent - 1) + at * (end - start) * (extent - 1) / (length - 1)
        return numpy.full(wanted, 0.5 * (start + end) * (extent - 1))
    raise Unsupported("coordinate_transformation_mode {!r}".format(transformation))


def _nearest(at, how):
    rounding = {
        "round_prefer_floor": lambda v: numpy.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: numpy.floor(v + 0.5),
        "floor": numpy.floor,
        "ceil": numpy.ceil,
    }
    return rounding[how](at).astype(int)[:, None], numpy.ones((len(at), 1))


def _linear(distance):
    return numpy.maximum(1 - numpy.abs(distance), 0)


def _cubic(distance, a):
    d = numpy.abs(distance)
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return numpy.where(d <= 1, inner, numpy.where(d < 2, outer, 0))


def _filtered(at, reach, kernel, stretch):
    """Taps around each position; a stretch above 1 widens the kernel (antialias)."""
    half = reach * stretch
    first = numpy.floor(at - half).astype(int) + 1
    taps = first[:, None] + numpy.arange(int(math.ceil(2 * half)))
    return taps, kernel((taps - at[:, None]) / stretch)


def _axis_weights(extent, wanted, scale, roi, o):
    """(taps [wanted, k], weights [wanted, k], outside [wanted]) of one axis."""
    at = _positions(extent, wanted, scale, o["transformation"], roi)
    stretch = max(1 / scale, 1.0) if o["antialias"] else 1.0
    if o["mode"] == "nearest":
        taps, weights = _nearest(at, o["nearest"])
    elif o["mode"] == "linear":
        taps, weights = _filtered(at, 1, _linear, stretch)
    elif o["mode"] == "cubic":
        taps, weights = _filtered(at, 2, lambda d: _cubic(d, o["cubic"]), stretch)
    else:
        raise Unsupported("mode {!r}".format(o["mode"]))
    if o["exclude_outside"] or stretch > 1:
        if o["exclude_outside"]:
            weights = numpy.where((taps >= 0) & (taps < extent), weights, 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return numpy.clip(taps, 0, extent - 1), weights, (at < 0) | (at > extent - 1)


def _targets(extents, scales, sizes, policy):
    """Output extents and scales of the axes to resize."""
    if sizes:
        scales = [size / extent for size, extent in zip(sizes, extents)]
        if policy != "stretch":
            one = min(scales) if policy == "not_larger" else max(scales)
            return [int(math.floor(one * extent + 0.5)) for extent in extents], [one] * len(extents)
        return list(sizes), scales
    return [int(math.floor(extent * scale)) for extent, scale in zip(extents, scales)], list(scales)


def _resized_axis(x, axis, taps, weights):
    if taps.shape[1] == 1 and (weights == 1).all():
        return tf.gather(x, taps[:, 0], axis=axis)
    shape = [-1] + [1] * (len(x.shape) - axis - 1)
    parts = [
        tf.gather(x, taps[:, k], axis=axis) * tf.constant(weights[:, k].reshape(shape), x.dtype)
        for k in range(taps.shape[1])
        if weights[:, k].any()
    ]
    return tf.add_n(parts)


def resized(x, roi, scales, sizes, *, axes, policy, extrapolation, **options):
    """options: antialias, transformation, cubic, exclude_outside, mode, nearest, by ONNX's meaning."""
    # workaround: tf.image.resize knows one mapping of positions, two axes, and no other coefficient of the cubic.
    shape = x.shape.as_list()
    axes = [axis % len(shape) for axis in (range(len(shape)) if axes is None else axes)]
    extents = [shape[axis] for axis in axes]
    wanted, scales = _targets(extents, scales, sizes, policy)
    dtype = x.dtype
    if options["mode"] != "nearest" and dtype not in (tf.float32, tf.float64):
        x = tf.cast(x, tf.float32)
    beyond = numpy.zeros([1] * len(shape), bool)
    for i, axis in enumerate(axes):
        part = (roi[i], roi[i + len(axes)]) if roi else (0.0, 1.0)
        if wanted[i] == extents[i] and scales[i] == 1 and part == (0.0, 1.0):
            continue
        taps, weights, outside = _axis_weights(extents[i], wanted[i], scales[i], part, options)
        x = _resized_axis(x, axis, taps, weights)
        beyond = beyond | outside.reshape([-1] + [1] * (len(shape) - axis - 1))
    if options["transformation"] == "tf_crop_and_resize" and beyond.any():
        x = tf.where(beyond, tf.constant(extrapolation, x.dtype), x)
    if dtype != x.dtype and not dtype.is_floating:
        raise Unsupported("interpolation of integers")
    return tf.cast(x, dtype)
