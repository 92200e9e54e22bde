"""ONNX's operators that sample images: Resize, GridSample, RoiAlign and the like."""

from __future__ import annotations

import itertools
import math

import numpy

import jax.numpy as jnp

from ..kit.interface import Unsupported
from ..kit.resampling import outside_of, resized_axes
from .dtypes import is_float, wide
from .shapes import padded


# workaround: jax.image.resize knows two of ONNX's mappings of positions, and no cubic of another coefficient.
def Resize(
    x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    mode="nearest", nearest_mode="round_prefer_floor",
):  # fmt: skip
    resized = resized_axes(
        x.shape, roi, scales, sizes, axes, antialias, coordinate_transformation_mode, cubic_coeff_a, exclude_outside,
        keep_aspect_ratio_policy, mode, nearest_mode,
    )  # fmt: skip
    if mode != "nearest" and not is_float(x):
        raise Unsupported("interpolation of integers")
    y = x if mode == "nearest" else wide(x)
    for one in resized:
        if one.idle:
            continue
        if one.indices is not None:
            y = jnp.take(y, one.indices, one.axis)
        else:
            y = jnp.moveaxis(jnp.tensordot(y, jnp.asarray(one.matrix.T, y.dtype), (one.axis, 0)), -1, one.axis)
    outside = outside_of(x.shape, resized)
    if outside.any():
        y = jnp.where(outside, jnp.asarray(extrapolation_value, y.dtype), y)
    return y.astype(x.dtype)


def _read(x, places):
    """x: (N, spatial..., C); places: (N, P, rank), whole. Zero outside of the image: (N, P, C)."""
    extents = numpy.array(x.shape[1:-1])
    inside = jnp.all((places >= 0) & (places < extents), -1, keepdims=True)
    places = jnp.clip(places, 0, extents - 1)
    batch = jnp.arange(x.shape[0])[:, None]
    return jnp.where(inside, x[(batch, *jnp.moveaxis(places, -1, 0))], 0)


def _corners(x, at):
    """Of the pixels around each place: how much each counts, and their values, 0 outside. at: (N, P, rank)"""
    low = jnp.floor(at)
    part, base = at - low, low.astype(jnp.int64)
    for corner in itertools.product((0, 1), repeat=at.shape[-1]):
        far = numpy.array(corner)
        yield jnp.prod(jnp.where(far == 1, part, 1 - part), -1, keepdims=True), _read(x, base + far)


def _interpolated(x, at):
    """Linear in every spatial axis: (N, P, C)."""
    return sum(weight * values for weight, values in _corners(x, at))


def _cubic_weights(part, a=-0.75):
    """Of the four pixels around a position, `part` past the second."""

    def near(d):
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _bordered(at, extent, padding, align_corners):
    """Positions brought into the image, where the padding says how."""
    if padding == "border":
        return jnp.clip(at, 0, extent - 1)
    if padding != "reflection":
        return at
    low, high = (0.0, extent - 1.0) if align_corners else (-0.5, extent - 0.5)
    if high > low:
        distance = jnp.abs(at - low)
        turns = jnp.floor(distance / (high - low))
        rest = distance - turns * (high - low)
        at = jnp.where(turns % 2 == 0, rest + low, high - rest)
    return jnp.clip(at, 0, extent - 1)


def _cubic(x, at, padding, align_corners):
    low = jnp.floor(at)
    weights, extents, total = _cubic_weights(at - low), x.shape[1:-1], 0
    for taps in itertools.product(range(4), repeat=at.shape[-1]):
        places, weight = [], 1
        for axis, tap in enumerate(taps):
            places.append(_bordered(low[..., axis] + (tap - 1), extents[axis], padding, align_corners))
            weight = weight * weights[tap][..., axis]
        total = total + weight[..., None] * _read(x, jnp.stack(places, -1).astype(jnp.int64))
    return total


def GridSample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    image, rank, extents = jnp.moveaxis(x, 1, -1), x.ndim - 2, x.shape[2:]
    at = jnp.flip(grid.reshape(x.shape[0], -1, rank), -1)
    sizes = numpy.array(extents, grid.dtype)
    at = (at + 1) / 2 * (sizes - 1) if align_corners else ((at + 1) * sizes - 1) / 2
    if mode == "nearest":
        at = jnp.round(at)
    if mode in ("cubic", "bicubic"):
        y = _cubic(image, at, padding_mode, align_corners)
    else:
        at = jnp.stack([_bordered(at[..., i], n, padding_mode, align_corners) for i, n in enumerate(extents)], -1)
        y = _read(image, at.astype(jnp.int64)) if mode == "nearest" else _interpolated(image, at)
    return jnp.moveaxis(y.reshape(x.shape[0], *grid.shape[1:-1], x.shape[1]), -1, 1).astype(x.dtype)


def AffineGrid(theta, *, size, align_corners=0):
    axes = []
    for extent in size[2:]:
        steps = numpy.arange(extent)
        axes.append(2 * steps / max(extent - 1, 1) - 1 if align_corners else (2 * steps + 1) / extent - 1)
    grid = numpy.stack([*reversed(numpy.meshgrid(*axes, indexing="ij")), numpy.ones(size[2:])], -1)
    return jnp.einsum("...i,nji->n...j", jnp.asarray(grid, theta.dtype), theta)


def DeformConv(
    x, w, offset, b=None, mask=None, *, dilations=None, group=1, kernel_shape=None, offset_group=1, pads=None,
    strides=None,
):  # fmt: skip
    if x.ndim != 4:
        raise Unsupported("{} spatial axes; two are handled".format(x.ndim - 2))
    strides, dilations, pads = strides or [1, 1], dilations or [1, 1], pads or [0, 0, 0, 0]
    (batch, channels), kernel, (rows, columns) = x.shape[:2], w.shape[2:], offset.shape[2:]
    taps = kernel[0] * kernel[1]
    steps = numpy.meshgrid(*(numpy.arange(k) * d for k, d in zip(kernel, dilations)), indexing="ij")
    starts = (numpy.arange(n) * s - p for n, s, p in zip((rows, columns), strides, pads))
    starts = numpy.stack(numpy.meshgrid(*starts, indexing="ij"), -1)
    base = numpy.stack(steps, -1).reshape(taps, 1, 1, 2) + starts
    moves = jnp.moveaxis(offset.reshape(batch, offset_group, taps, 2, rows, columns), 3, -1)
    at = (moves + base.astype(offset.dtype)).reshape(batch, offset_group, -1, 2)
    parts = jnp.split(jnp.moveaxis(x, 1, -1), offset_group, -1)
    samples = [_interpolated(part, at[:, i]).reshape(batch, taps, rows, columns, -1) for i, part in enumerate(parts)]
    samples = jnp.stack(samples, 4)
    if mask is not None:
        weights = mask.reshape(batch, offset_group, taps, rows, columns)
        samples = samples * jnp.moveaxis(weights, 1, -1)[..., None]
    samples = samples.reshape(batch, taps, rows, columns, group, channels // group)
    y = jnp.einsum("ntrcgi,gmit->ngmrc", samples, w.reshape(group, -1, channels // group, taps))
    y = y.reshape(batch, -1, rows, columns)
    return y if b is None else y + b[:, None, None]


def Col2Im(x, *, image_shape, block_shape, dilations=None, pads=None, strides=None):
    rank = len(image_shape)
    dilations, strides, pads = dilations or [1] * rank, strides or [1] * rank, pads or [0] * (2 * rank)
    extents = [n + pads[i] + pads[rank + i] for i, n in enumerate(image_shape)]
    flat = numpy.zeros((1,) * (2 * rank), numpy.int64)
    for axis in range(rank):
        count = (extents[axis] - (dilations[axis] * (block_shape[axis] - 1) + 1)) // strides[axis] + 1
        places = numpy.arange(block_shape[axis])[:, None] * dilations[axis] + numpy.arange(count) * strides[axis]
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = places.shape
        flat = flat * extents[axis] + places.reshape(shape)
    channels = x.shape[1] // math.prod(block_shape)
    image = jnp.zeros((x.shape[0], channels, math.prod(extents)), x.dtype)
    image = image.at[:, :, flat.reshape(-1)].add(x.reshape(x.shape[0], channels, -1))
    crops = [(0, 0), (0, 0)] + [(-pads[i], -pads[rank + i]) for i in range(rank)]
    return padded(image.reshape(x.shape[0], channels, *extents), crops)


def MaxUnpool(x, indices, *, kernel_shape, output_shape=None, pads=None, strides=None):
    rank = len(kernel_shape)
    strides, pads = strides or [1] * rank, pads or [0] * (2 * rank)
    shape = list(x.shape[:2])
    for i, n in enumerate(x.shape[2:]):
        shape.append((n - 1) * strides[i] - pads[i] - pads[rank + i] + kernel_shape[i])
    y = jnp.zeros(math.prod(shape), x.dtype).at[indices.reshape(-1)].set(x.reshape(-1)).reshape(shape)
    if output_shape is None:
        return y
    return padded(y, [(0, int(wanted) - n) for n, wanted in zip(shape, output_shape)])


def RoiAlign(
    x, rois, batch_indices, *, coordinate_transformation_mode="half_pixel", mode="avg", output_height=1,
    output_width=1, sampling_ratio=0, spatial_scale=1.0,
):  # fmt: skip
    """One fixed grid per cell. ONNX's max is over the four weighted corners, not over their sum."""
    if sampling_ratio <= 0:
        raise Unsupported("sampling_ratio 0: the number of samples depends on the regions' sizes")
    half = coordinate_transformation_mode == "half_pixel"
    boxes = rois * spatial_scale - (0.5 if half else 0.0)
    samples, axes = sampling_ratio, []
    for start, end, bins in ((boxes[:, 1], boxes[:, 3], output_height), (boxes[:, 0], boxes[:, 2], output_width)):
        length = end - start if half else jnp.maximum(end - start, 1)
        steps = jnp.asarray((numpy.arange(bins * samples) + 0.5) / (samples * bins), x.dtype)
        axes.append(start[:, None] + length[:, None] * steps)
    rows, columns = axes
    shape = (len(rois), output_height * samples, output_width * samples)
    at = jnp.stack([jnp.broadcast_to(rows[:, :, None], shape), jnp.broadcast_to(columns[:, None], shape)], -1)
    at, limits = at.reshape(len(rois), -1, 2), numpy.array(x.shape[2:], x.dtype)
    outside = jnp.any((at < -1) | (at > limits), -1, keepdims=True)
    corners = list(_corners(jnp.moveaxis(x, 1, -1)[batch_indices], jnp.clip(at, 0, limits - 1)))
    weighted = jnp.stack([weight * values for weight, values in corners])
    values = jnp.where(outside, 0, weighted.sum(0) if mode == "avg" else weighted.max(0))
    cells = values.reshape(len(rois), output_height, samples, output_width, samples, x.shape[1])
    return jnp.moveaxis(cells.mean((2, 4)) if mode == "avg" else cells.max((2, 4)), -1, 1)
