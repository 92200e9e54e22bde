"""ONNX's Resize, axis by axis: the places and weights are constants of the net."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from ..kit.resampling import outside_of, resized_axes
from .elementwise import Where
from .graph import call, constant, take


def Resize(
    x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    mode="nearest", nearest_mode="round_prefer_floor",
):  # fmt: skip
    resized = resized_axes(
        x.shape, roi, scales, sizes, axes, antialias, coordinate_transformation_mode, cubic_coeff_a, exclude_outside,
        keep_aspect_ratio_policy, mode, nearest_mode,
    )  # fmt: skip
    for one in resized:
        if not one.idle and one.indices is not None:
            x = take(x, constant(x, one.indices, "int64"), one.axis)
        elif not one.idle:
            x = _weighted(x, one.axis, one.matrix)
    outside = outside_of(x.shape, resized)
    if not outside.any():
        return x
    return Where(constant(x, outside, "bool"), constant(x, extrapolation_value), x)


def _weighted(x, axis, matrix):
    """The matrix times x along one axis, whose rows have few elements that are not 0."""
    if x.dtype != "float32":
        raise Unsupported(f"interpolation of {x.dtype}")
    taps = int((matrix != 0).sum(1).max())
    places = numpy.argsort(matrix == 0, 1, kind="stable")[:, :taps]
    weights = numpy.take_along_axis(matrix, places, 1)
    total = None
    for tap in range(taps):
        weight = constant(x, weights[:, tap].reshape([-1] + [1] * (x.rank - 1 - axis)))
        part = call("Mul", take(x, constant(x, places[:, tap], "int64"), axis), weight)
        total = part if total is None else call("Add", total, part)
    return total
