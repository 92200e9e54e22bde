"""Where the elements of ONNX's Resize come from, axis by axis, and how much each of them counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy

from .interface import Unsupported

_ROUNDINGS = {
    "round_prefer_floor": lambda places: numpy.ceil(places - 0.5),
    "round_prefer_ceil": lambda places: numpy.floor(places + 0.5),
    "floor": numpy.floor,
    "ceil": numpy.ceil,
}


@dataclass
class Axis:
    """One resized axis of `extent` elements. Output element i is sum over j of matrix[i, j] * input element j.

    indices: where matrix would only pick (nearest), the element that each output is, else None.
    outside: which outputs lie beyond the input and take the extrapolation value (tf_crop_and_resize only).
    """

    axis: int
    extent: int
    matrix: Optional[numpy.ndarray]
    indices: Optional[numpy.ndarray]
    outside: numpy.ndarray

    @property
    def idle(self) -> bool:
        """Whether the outputs are the inputs."""
        if self.indices is not None:
            return numpy.array_equal(self.indices, numpy.arange(self.extent))
        return self.matrix.shape == (self.extent, self.extent) and numpy.array_equal(
            self.matrix, numpy.eye(self.extent)
        )


def resized_axes(
    shape: Sequence[int], roi, scales, sizes, axes, antialias, coordinate_transformation_mode, cubic_coeff_a,
    exclude_outside, keep_aspect_ratio_policy, mode, nearest_mode,
) -> List[Axis]:  # fmt: skip
    """ONNX's Resize of a tensor of this shape, one axis after the other. Raises `Unsupported` for unknown modes."""
    axes = list(range(len(shape))) if axes is None else [axis % len(shape) for axis in axes]
    extents = [shape[axis] for axis in axes]
    if scales:
        widths = [extent * scale for extent, scale in zip(extents, scales)]
        sizes = [math.floor(width) for width in widths]
    else:
        sizes = _kept_ratio(keep_aspect_ratio_policy, extents, sizes)
        widths = [float(size) for size in sizes]
    found = []
    for i, (axis, extent, size, width) in enumerate(zip(axes, extents, sizes, widths)):
        region = (roi[i], roi[i + len(axes)]) if roi else (0.0, 1.0)
        places = _places(coordinate_transformation_mode, size, extent, width, region)
        cropped = coordinate_transformation_mode == "tf_crop_and_resize"
        outside = ((places < 0) | (places > extent - 1)) & cropped
        matrix = indices = None
        if mode == "nearest":
            indices = _rounded(nearest_mode, places).clip(0, extent - 1).astype(numpy.int64)
        else:
            scale = min(1.0, width / extent) if antialias else 1.0
            matrix = _weights(mode, places, extent, scale, antialias, exclude_outside, cubic_coeff_a)
        found.append(Axis(axis, extent, matrix, indices, outside))
    return found


def outside_of(shape: Sequence[int], axes: Sequence[Axis]) -> numpy.ndarray:
    """Which elements of the result take the extrapolation value, in a shape that broadcasts against it."""
    outside = numpy.zeros((1,) * len(shape), bool)
    for one in axes:
        outside = outside | one.outside.reshape([-1 if i == one.axis else 1 for i in range(len(shape))])
    return outside


def _kept_ratio(policy, extents, sizes):
    if policy == "stretch":
        return list(sizes)
    choose = min if policy == "not_larger" else max
    scale = choose(size / extent for size, extent in zip(sizes, extents))
    return [int(math.floor(scale * extent + 0.5)) for extent in extents]


def _places(mode, size, extent, width, region):
    """Where in the input each output element comes from. width: the output's extent before it was rounded down."""
    index = numpy.arange(size, dtype=numpy.float64)
    scale = width / extent
    if mode == "asymmetric":
        return index / scale
    if mode == "align_corners":
        return index * (extent - 1) / (width - 1) if width != 1 else 0 * index
    if mode == "tf_crop_and_resize":
        start, end = region
        if width == 1:
            return 0 * index + (start + end) * (extent - 1) / 2
        return start * (extent - 1) + index * (end - start) * (extent - 1) / (width - 1)
    if mode == "pytorch_half_pixel" and width == 1:
        return 0 * index
    places = (index + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return places + extent / 2 * (1 - size / width)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return places
    raise Unsupported("coordinate_transformation_mode=%r" % mode)


def _rounded(mode, places):
    if mode not in _ROUNDINGS:
        raise Unsupported("nearest_mode=%r" % mode)
    return _ROUNDINGS[mode](places)


def _weights(mode, places, extent, scale, antialias, exclude_outside, a):
    """(outputs, inputs): what each input element counts. Beyond the edges lie copies of the edge."""
    if mode not in ("linear", "cubic"):
        raise Unsupported("mode=%r" % mode)
    reach = 1 if mode == "linear" else 2
    first = math.floor(-reach / scale) + 1
    matrix = numpy.zeros((len(places), extent))
    rows = numpy.arange(len(places))
    taps = numpy.floor(places)[:, None] + numpy.arange(first, 2 - first)
    weights = _kernel(mode, (taps - places[:, None]) * scale, a)
    if antialias:
        weights /= weights.sum(1, keepdims=True)
    if exclude_outside:
        weights *= (taps >= 0) & (taps < extent)
        weights /= weights.sum(1, keepdims=True)
    for column in range(taps.shape[1]):
        numpy.add.at(matrix, (rows, taps[:, column].clip(0, extent - 1).astype(int)), weights[:, column])
    return matrix


def _kernel(mode, distance, a):
    d = numpy.abs(distance)
    if mode == "linear":
        return numpy.maximum(0, 1 - d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return numpy.where(d <= 1, near, numpy.where(d < 2, far, 0))
