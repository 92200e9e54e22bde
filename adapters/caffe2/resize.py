"""ONNX's Resize, axis by axis: the places and weights are constants of the net."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .graph import axis_of, call, constant, take

_ORIGINS = {
    "half_pixel": lambda i, scale, new, old: (i + 0.5) / scale - 0.5,
    "asymmetric": lambda i, scale, new, old: i / scale,
    "pytorch_half_pixel": lambda i, scale, new, old: (i + 0.5) / scale - 0.5 if new > 1 else i * 0.0,
    "align_corners": lambda i, scale, new, old: i * (old - 1) / (scale * old - 1) if new > 1 else i * 0.0,
    "half_pixel_symmetric": lambda i, scale, new, old: old / 2 * (1 - new / (scale * old)) + (i + 0.5) / scale - 0.5,
}

_ROUNDINGS = {
    "round_prefer_floor": lambda x: numpy.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: numpy.floor(x + 0.5),
    "floor": numpy.floor,
    "ceil": numpy.ceil,
}


def Resize(x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
           cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0,
           keep_aspect_ratio_policy="stretch", mode="nearest", nearest_mode="round_prefer_floor"):  # fmt: skip
    origin = _ORIGINS.get(coordinate_transformation_mode)
    if antialias or origin is None or mode not in ("nearest", "linear") or keep_aspect_ratio_policy != "stretch":
        raise Unsupported("only nearest and linear are done, without antialias, cropping and aspect ratio policies")
    axes = range(x.rank) if axes is None else [axis_of(axis, x.rank) for axis in axes]
    for position, axis in enumerate(axes):
        old = x.shape[axis]
        new = int(sizes[position] if sizes else numpy.floor(old * scales[position]))
        scale = scales[position] if scales else new / old
        if (new, scale) != (old, 1):
            x = _axis(x, axis, origin(numpy.arange(new), scale, new, old), mode, nearest_mode)
    return x


def _axis(x, axis, places, mode, nearest_mode):
    last = x.shape[axis] - 1
    if mode == "nearest":
        return take(x, constant(x, _ROUNDINGS[nearest_mode](places).clip(0, last), "int64"), axis)
    if x.dtype != "float32":
        raise Unsupported(f"linear Resize of {x.dtype}")
    low = numpy.floor(places)
    weight = (places - low).reshape([-1] + [1] * (x.rank - 1 - axis))
    left, right = (take(x, constant(x, (low + i).clip(0, last), "int64"), axis) for i in (0, 1))
    return call("Add", call("Mul", left, constant(x, 1 - weight)), call("Mul", right, constant(x, weight)))
