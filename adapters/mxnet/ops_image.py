"""ONNX operators on MXNet symbols: Resize and GridSample, by constant matrices and by gathering."""

from __future__ import annotations

import itertools

import numpy

from ..kit.interface import Unsupported
from ..kit.resampling import outside_of, resized_axes
from .ops import Add, Mul, Sub, Where, cast, full, in_float32, require, reshape, transpose
from .ops_shape import take_slices
from .symbols import F, constant


@in_float32
def Resize(
    x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    mode="nearest", nearest_mode="round_prefer_floor",
):  # fmt: skip
    """One axis after the other: nearest picks, the others multiply by a matrix of weights."""
    resized = resized_axes(
        x.shape, roi, scales, sizes, axes, antialias, coordinate_transformation_mode, cubic_coeff_a, exclude_outside,
        keep_aspect_ratio_policy, mode, nearest_mode,
    )  # fmt: skip
    for one in resized:
        if not one.idle and one.indices is not None:
            x = F.take(x, constant(one.indices), axis=one.axis, mode="clip")
        elif not one.idle:
            x = _apply(x, one.axis, one.matrix)
    outside = outside_of(x.shape, resized)
    if not outside.any():
        return x
    return Where(constant(numpy.broadcast_to(outside, x.shape)), full((), extrapolation_value, x.dtype), x)


def _apply(x, axis, matrix):
    """The matrix times x along one axis."""
    # workaround: MXNet's own resizing knows only two of ONNX's ways to place the samples
    require(x, ("float32", "float64"), "interpolation")
    order = [i for i in range(x.ndim) if i != axis] + [axis]
    weight = constant(matrix.astype(x.dtype))
    y = F.FullyConnected(transpose(x, order), weight, num_hidden=len(matrix), no_bias=True, flatten=False)
    return transpose(y, numpy.argsort(order).tolist())


@in_float32
def Col2Im(x, *, image_shape, block_shape, dilations=None, pads=None, strides=None):
    """x (N, C * block, L): every column is added to the places in the image that its block covers."""
    # workaround: MXNet's col2im pads the same on both sides only
    rank = len(image_shape)
    dilations, strides, pads = dilations or [1] * rank, strides or [1] * rank, pads or [0] * 2 * rank
    padded = [n + pads[i] + pads[i + rank] for i, n in enumerate(image_shape)]
    positions = numpy.zeros((1, 1), numpy.int64)
    for n, k, d, s in zip(padded, block_shape, dilations, strides):
        along = numpy.arange(k)[:, None] * d + numpy.arange(0, n - (k - 1) * d, s)
        positions = positions[:, None, :, None] * n + along[:, None]
        positions = positions.reshape(positions.shape[0] * k, -1)
    channels = x.shape[1] // positions.shape[0]
    rows = transpose(reshape(x, (x.shape[0] * channels, positions.size)), (1, 0))
    image = F._backward_gather_nd(
        rows, constant(positions.reshape(1, -1)), shape=(int(numpy.prod(padded)), rows.shape[1])
    )
    image = reshape(transpose(image, (1, 0)), [x.shape[0], channels] + padded)
    return take_slices(image, [slice(None)] * 2 + [slice(p, p + n) for p, n in zip(pads, image_shape)])


@in_float32
def GridSample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    """x (N, C, *spatial) at the places of grid (N, *out, rank), whose last axis counts from the innermost one."""
    # workaround: MXNet's BilinearSampler is for two dimensions, aligned corners and zeros beyond the border only
    require(x, ("float32", "float64"), "GridSample")
    spatial, out = x.shape[2:], grid.shape[1:-1]
    rank = len(spatial)
    taps = []
    for k, extent in enumerate(spatial):
        column = take_slices(grid, [slice(None)] * (rank + 1) + [slice(rank - 1 - k, rank - k)])
        column = reshape(column, (x.shape[0],) + out)
        taps.append(_grid_taps(column, extent, align_corners, mode, padding_mode))
    count = int(numpy.prod(spatial))
    rows = reshape(transpose(reshape(x, x.shape[:2] + (count,)), (0, 2, 1)), (x.shape[0] * count, x.shape[1]))
    base = constant((numpy.arange(x.shape[0]) * count).reshape((-1,) + (1,) * len(out)))
    total = None
    for corner in itertools.product(*taps):
        place, weight = base, None
        for (index, share), stride in zip(corner, _strides(spatial)):
            place = F._npi_add(place, F._npi_multiply_scalar(index, scalar=stride))
            weight = share if weight is None else Mul(weight, share)
        part = F._npi_multiply(F.take(rows, place, axis=0, mode="clip"), reshape(weight, weight.shape + (1,)))
        total = part if total is None else Add(total, part)
    return transpose(total, (0, rank + 1) + tuple(range(1, rank + 1)))


def _strides(shape):
    return [int(numpy.prod(shape[i + 1 :])) for i in range(len(shape))]


def _grid_taps(column, extent, align_corners, mode, padding_mode):
    """[(index, weight), ...] along one axis: the elements that count, and how much."""
    low, high = (0.0, extent - 1.0) if align_corners else (-0.5, extent - 0.5)
    place = F._npi_add_scalar(F._npi_multiply_scalar(column, scalar=(high - low) / 2), scalar=(low + high) / 2)
    if mode == "nearest":
        place = F._npi_around(place)
    if padding_mode == "border":
        place = F._npi_maximum(F._npi_minimum(place, full((), extent - 1, place.dtype)), full((), 0, place.dtype))
    elif padding_mode == "reflection":
        place = _reflected(place, low, high)
    elif padding_mode != "zeros":
        raise Unsupported("padding_mode=%r" % padding_mode)
    if mode == "nearest":
        return [_tap(place, full(place.shape, 1, place.dtype), extent, padding_mode, low, high)]
    if mode not in ("linear", "bilinear", "cubic", "bicubic"):
        raise Unsupported("mode=%r" % mode)
    floor = F.BlockGrad(F._npi_floor(place))
    ratio = Sub(place, floor)
    linear = mode in ("linear", "bilinear")
    steps = (0, 1) if linear else (-1, 0, 1, 2)
    return [
        _tap(F._npi_add_scalar(floor, scalar=s), _share(ratio, s, linear), extent, padding_mode, low, high)
        for s in steps
    ]


def _share(ratio, step, linear):
    """The interpolation kernel at the distance between a place and its tap; a = -0.75 for cubic."""
    distance = ratio if step == 0 else F._npi_abs(F._npi_add_scalar(ratio, scalar=-step))
    if linear:
        return F._npi_rsubtract_scalar(distance, scalar=1)
    a = -0.75
    coefficients = (a + 2, -(a + 3), 0, 1) if step in (0, 1) else (a, -5 * a, 8 * a, -4 * a)
    value = full(ratio.shape, coefficients[0], ratio.dtype)
    for coefficient in coefficients[1:]:
        value = F._npi_add_scalar(Mul(value, distance), scalar=coefficient)
    return value


def _tap(index, weight, extent, padding_mode, low, high):
    if padding_mode == "zeros":
        inside = F._npi_equal(F.clip(index, a_min=0, a_max=extent - 1), index)
        weight = Mul(weight, cast(inside, weight.dtype))
    elif padding_mode == "reflection":
        index = _reflected(index, low, high)
    return cast(F.clip(F.BlockGrad(index), a_min=0, a_max=extent - 1), "int64"), weight


def _reflected(place, low, high):
    """Folded back at the borders until it lies between them."""
    span = high - low
    if span == 0:
        return full(place.shape, low, place.dtype)
    turn = F._npi_mod(F._npi_add_scalar(place, scalar=-low), full((), 2 * span, place.dtype))
    folded = F._npi_minimum(turn, F._npi_rsubtract_scalar(turn, scalar=2 * span))
    return F._npi_add_scalar(folded, scalar=low)
