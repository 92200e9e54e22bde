"""ONNX's operators that sample images: Resize, GridSample, RoiAlign and the like."""

from __future__ import annotations

import math

import numpy
import torch
import torch.nn.functional as F

from ..kit.interface import Unsupported

_SAMPLING = {
    "bilinear": "bilinear",
    "linear": "bilinear",
    "nearest": "nearest",
    "bicubic": "bicubic",
    "cubic": "bicubic",
}


def Resize(
    x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    mode="nearest", nearest_mode="round_prefer_floor",
):  # fmt: skip
    axes = list(range(x.ndim)) if axes is None else [a + x.ndim if a < 0 else a for a in axes]
    sizes, scales = _extents(x, axes, scales, sizes, keep_aspect_ratio_policy)
    if antialias and mode == "nearest":
        raise Unsupported("antialias of mode nearest")
    if mode != "nearest" and not x.is_floating_point():
        raise Unsupported(f"mode {mode} on integers")
    changed = [a for a in range(x.ndim) if x.shape[a] != sizes[a] or scales[a] != 1]
    plain = not antialias and not exclude_outside and (mode != "cubic" or cubic_coeff_a == -0.75)
    if plain and coordinate_transformation_mode != "tf_crop_and_resize":
        kernel = _torch_mode(x, changed, sizes, scales, mode, coordinate_transformation_mode, nearest_mode)
        if kernel is not None:
            return F.interpolate(x, [int(n) for n in sizes[2:]], **kernel)
    # workaround: torch's interpolate knows few of ONNX's coordinates and roundings, and no axes but the spatial ones.
    for i, axis in enumerate(axes):
        crop = (roi[i], roi[len(axes) + i]) if roi and coordinate_transformation_mode == "tf_crop_and_resize" else None
        if axis not in changed and crop in (None, (0.0, 1.0)):
            continue
        places = _places(coordinate_transformation_mode, x.shape[axis], sizes[axis], scales[axis], crop)
        outside = (places < 0) | (places > x.shape[axis] - 1) if crop is not None else numpy.zeros(len(places), bool)
        if mode == "nearest":
            x_new = x.index_select(axis, torch.as_tensor(_nearest(places, x.shape[axis], nearest_mode)))
        else:
            kernel, support = (_triangle, 1.0) if mode == "linear" else (_cubic(cubic_coeff_a), 2.0)
            shrink = min(scales[axis], 1.0) if antialias else 1.0
            weights = _weights(places, x.shape[axis], kernel, support, shrink, exclude_outside)
            weights = torch.as_tensor(weights.astype(numpy.float32)).to(x.dtype)
            x_new = torch.matmul(x.movedim(axis, -1), weights.t()).movedim(-1, axis)
        if outside.any():
            shape = [-1 if a == axis else 1 for a in range(x.ndim)]
            filler = torch.full((), extrapolation_value, dtype=x.dtype)
            x_new = torch.where(torch.as_tensor(outside).reshape(shape), filler, x_new)
        x = x_new
    return x


def _extents(x, axes, scales, sizes, policy):
    """The size and the scale of every axis of the result."""
    if scales:
        full = [1.0] * x.ndim
        for axis, scale in zip(axes, scales):
            full[axis] = float(scale)
        return [math.floor(n * s) for n, s in zip(x.shape, full)], full
    wanted = list(x.shape)
    for axis, size in zip(axes, sizes):
        wanted[axis] = int(size)
    full = [new / old for new, old in zip(wanted, x.shape)]
    if policy != "stretch":
        chosen = (min if policy == "not_larger" else max)(full[axis] for axis in axes)
        full = [chosen if axis in axes else 1.0 for axis in range(x.ndim)]
        wanted = [int(chosen * n + 0.5) if axis in axes else n for axis, n in enumerate(x.shape)]
    return wanted, full


def _torch_mode(x, changed, sizes, scales, mode, coordinates, nearest_mode):
    """What F.interpolate needs to do the same, or None where it cannot."""
    exact = all(x.shape[a] * scales[a] == sizes[a] for a in changed)
    if not changed or changed[0] < 2 or x.ndim not in (3, 4, 5) or not exact or not x.is_floating_point():
        return None
    if mode == "nearest":
        whole = all(sizes[a] % x.shape[a] == 0 for a in changed)
        floors = (coordinates == "asymmetric" and nearest_mode == "floor") or (
            coordinates in ("half_pixel", "pytorch_half_pixel") and nearest_mode.startswith("round")
        )
        return {"mode": "nearest"} if whole and floors and min(sizes[2:]) > 1 else None
    names = {"linear": {3: "linear", 4: "bilinear", 5: "trilinear"}, "cubic": {4: "bicubic"}}[mode]
    corners = {"half_pixel": False, "pytorch_half_pixel": False, "align_corners": True}
    if x.ndim not in names or coordinates not in corners or min(sizes[2:]) < 2:
        return None
    return {"mode": names[x.ndim], "align_corners": corners[coordinates]}


def _places(coordinates, size, out, scale, crop):
    """Where each element of a resized axis lies on the axis as it was."""
    steps = numpy.arange(out, dtype=numpy.float64)
    full = scale * size
    if coordinates == "align_corners":
        return steps * (size - 1) / (full - 1) if full != 1 else steps * 0
    if coordinates == "asymmetric":
        return steps / scale
    if coordinates == "tf_crop_and_resize":
        start, end = crop
        if full == 1:
            return steps * 0 + (start + end) * (size - 1) / 2
        return steps * (end - start) * (size - 1) / (full - 1) + start * (size - 1)
    if coordinates == "pytorch_half_pixel" and full == 1:
        return steps * 0 - 0.5
    if coordinates == "half_pixel_symmetric":
        return size / 2 * (1 - out / full) + (steps + 0.5) / scale - 0.5
    if coordinates not in ("half_pixel", "pytorch_half_pixel"):
        raise Unsupported(f"coordinate_transformation_mode {coordinates!r}")
    return (steps + 0.5) / scale - 0.5


def _nearest(places, size, mode):
    rounding = {
        "round_prefer_floor": lambda p: numpy.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: numpy.floor(p + 0.5),
        "floor": numpy.floor,
        "ceil": numpy.ceil,
    }[mode]
    return numpy.clip(rounding(places), 0, size - 1).astype(numpy.int64)


def _triangle(distance):
    return numpy.maximum(1 - numpy.abs(distance), 0)


def _cubic(a):
    def kernel(distance):
        d = numpy.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((d - 5) * d + 8) * d * a - 4 * a
        return numpy.where(d <= 1, near, numpy.where(d < 2, far, 0))

    return kernel


def _weights(places, size, kernel, support, shrink, exclude_outside):
    """The matrix (out, size) that interpolates an axis; elements beyond its ends are its end elements."""
    radius = int(math.ceil(support / shrink))
    taps = numpy.floor(places)[:, None].astype(numpy.int64) + numpy.arange(-radius, radius + 1)
    weights = kernel((taps - places[:, None]) * shrink)
    if exclude_outside:
        weights = weights * ((taps >= 0) & (taps < size))
    if exclude_outside or shrink != 1:
        weights = weights / weights.sum(1, keepdims=True)
    matrix = numpy.zeros((len(places), size))
    numpy.add.at(matrix, (numpy.arange(len(places))[:, None], numpy.clip(taps, 0, size - 1)), weights)
    return matrix


def GridSample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    return F.grid_sample(x, grid, _SAMPLING[mode], padding_mode, bool(align_corners))


def AffineGrid(theta, *, size, align_corners=0):
    return F.affine_grid(theta, [int(n) for n in size], bool(align_corners))


# workaround: torch has no deformable convolution; torchvision has.
def DeformConv(
    x, w, offset, b=None, mask=None, *, dilations=None, group=1, kernel_shape=None, offset_group=1, pads=None,
    strides=None,
):  # fmt: skip
    if x.ndim != 4:
        raise Unsupported(f"{x.ndim - 2} spatial axes; two are handled")
    strides, dilations, pads = strides or [1, 1], dilations or [1, 1], pads or [0, 0, 0, 0]
    (batch, channels, *size), kernel, out = list(x.shape), list(w.shape[2:]), list(offset.shape[2:])
    taps = kernel[0] * kernel[1]
    offset = offset.reshape([batch * offset_group, taps, 2] + out)
    coordinates = []
    for axis in (0, 1):
        ends = [[-1, 1], [1, -1]][axis]
        tap = (torch.arange(kernel[axis]) * dilations[axis]).reshape(ends).expand(kernel).reshape(taps, 1, 1)
        place = tap + (torch.arange(out[axis]) * strides[axis] - pads[axis]).reshape(ends)
        # grid_sample counts from -1 to 1, here between the centres of the outer pixels of an image with a border.
        coordinates.append((offset[:, :, axis] + (place + 1).to(x.dtype)) * (2 / (size[axis] + 1)) - 1)
    grid = torch.stack(coordinates[::-1], -1).reshape(batch * offset_group, taps * out[0], out[1], 2)
    # The border of zeros makes sure that there are at least three pixels a side, and changes no sample.
    bordered = F.pad(x, [1, 1, 1, 1]).reshape([batch * offset_group, -1] + [n + 2 for n in size])
    columns = F.grid_sample(bordered, grid, "bilinear", "zeros", True).reshape([batch, offset_group, -1, taps] + out)
    if mask is not None:
        columns = columns * mask.reshape([batch, offset_group, 1, taps] + out)
    columns = columns.reshape(batch, group, channels // group * taps, out[0] * out[1])
    y = torch.matmul(w.reshape(group, w.shape[0] // group, -1), columns).reshape([batch, w.shape[0]] + out)
    return y if b is None else y + b.reshape(-1, 1, 1)


# workaround: torch's fold knows two spatial axes only, padded alike at both ends.
def Col2Im(x, *, image_shape, block_shape, dilations=None, pads=None, strides=None):
    rank = len(image_shape)
    dilations, strides, pads = dilations or [1] * rank, strides or [1] * rank, pads or [0] * (2 * rank)
    padded = [n + pads[i] + pads[rank + i] for i, n in enumerate(image_shape)]
    flat = numpy.zeros((1,) * (2 * rank), numpy.int64)
    for axis in range(rank):
        count = (padded[axis] - (dilations[axis] * (block_shape[axis] - 1) + 1)) // strides[axis] + 1
        tap = numpy.arange(block_shape[axis])[:, None] * dilations[axis]
        places = tap + numpy.arange(count) * strides[axis]
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = places.shape
        flat = flat * padded[axis] + places.reshape(shape)
    channels = x.shape[1] // math.prod(block_shape)
    values = x.reshape(x.shape[0] * channels, -1)
    image = torch.zeros(x.shape[0] * channels, math.prod(padded), dtype=x.dtype)
    image = torch.index_add(image, 1, torch.as_tensor(flat.reshape(-1)), values)
    image = image.reshape([x.shape[0], channels] + padded)
    return F.pad(image, [-p for i in range(rank - 1, -1, -1) for p in (pads[i], pads[rank + i])])


# workaround: torch's max_unpool takes positions within one plane; ONNX's are within the whole tensor.
def MaxUnpool(x, indices, *, kernel_shape, output_shape=None, pads=None, strides=None):
    rank = len(kernel_shape)
    strides, pads = strides or [1] * rank, pads or [0] * (2 * rank)
    shape = list(x.shape[:2]) + [
        (x.shape[2 + i] - 1) * strides[i] - pads[i] - pads[rank + i] + kernel_shape[i] for i in range(rank)
    ]
    flat = torch.zeros(math.prod(shape), dtype=x.dtype).scatter(0, indices.reshape(-1), x.reshape(-1))
    y = flat.reshape(shape)
    if output_shape is None:
        return y
    return F.pad(y, [p for n, wanted in zip(shape[::-1], output_shape[::-1]) for p in (0, int(wanted) - n)])


# workaround: torch has no RoiAlign; torchvision has.
def RoiAlign(
    x, rois, batch_indices, *, coordinate_transformation_mode="half_pixel", mode="avg", output_height=1,
    output_width=1, sampling_ratio=0, spatial_scale=1.0,
):  # fmt: skip
    if sampling_ratio <= 0:
        raise Unsupported("sampling_ratio 0: the number of samples depends on the regions' sizes")
    half = coordinate_transformation_mode == "half_pixel"
    boxes = rois * spatial_scale - (0.5 if half else 0.0)
    rows = _roi_axis(boxes[:, 1], boxes[:, 3], output_height, sampling_ratio, x.shape[2], half)
    columns = _roi_axis(boxes[:, 0], boxes[:, 2], output_width, sampling_ratio, x.shape[3], half)
    batch = batch_indices.to(torch.int64).reshape(-1, 1, 1)
    corners = []
    for row, row_weight in rows:
        for column, column_weight in columns:
            values = x.permute(0, 2, 3, 1)[batch, row.unsqueeze(2), column.unsqueeze(1)]
            corners.append(values * (row_weight.unsqueeze(2) * column_weight.unsqueeze(1)).unsqueeze(3))
    s = sampling_ratio
    if mode == "avg":
        y = sum(corners[1:], corners[0])
        y = y.reshape(-1, output_height, s, output_width, s, x.shape[1]).mean((2, 4))
    else:
        y = torch.stack(corners).amax(0).reshape(-1, output_height, s, output_width, s, x.shape[1]).amax((2, 4))
    return y.permute(0, 3, 1, 2)


def _roi_axis(start, end, bins, samples, size, half_pixel):
    """The two pixels that each sample on an axis lies between, and their weights: ((low, w), (high, w)).

    Of shape (regions, bins * samples). A sample more than a pixel outside has no weight.
    """
    length = end - start
    if not half_pixel:
        length = length.clamp(min=1.0)
    steps = (torch.arange(bins * samples, dtype=start.dtype) + 0.5) / samples / bins
    place = start.unsqueeze(1) + length.unsqueeze(1) * steps
    inside = (place >= -1.0) & (place <= size)
    place = place.clamp(0, size - 1)
    low = place.floor()
    part = place - low
    zero = torch.zeros((), dtype=start.dtype)
    high = (low + 1).clamp(max=size - 1)
    return (
        (low.to(torch.int64), torch.where(inside, 1 - part, zero)),
        (high.to(torch.int64), torch.where(inside, part, zero)),
    )
