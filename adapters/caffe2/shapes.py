"""ONNX's operators that move, pick and repeat elements."""

from __future__ import annotations

import numpy

from .elementwise import Where
from .graph import (
    TYPES,
    axis_of,
    call,
    cast,
    concat,
    constant,
    expand,
    reshape,
    slice_axis,
    split_axis,
    take,
    transpose,
)


def Concat(*tensors, axis):
    return concat(tensors, axis_of(axis, tensors[0].rank))


def DepthToSpace(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    depth = c // blocksize**2
    if mode == "DCR":
        apart = transpose(reshape(x, (n, blocksize, blocksize, depth, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        apart = transpose(reshape(x, (n, depth, blocksize, blocksize, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(apart, (n, depth, h * blocksize, w * blocksize))


def Expand(x, *, shape):
    full = numpy.broadcast(numpy.broadcast_to(0, x.shape), numpy.broadcast_to(0, shape)).shape
    return expand(x, full)


def Flatten(x, *, axis=1):
    axis = axis_of(axis, x.rank)
    rows = int(numpy.prod(x.shape[:axis], dtype=int))
    return reshape(x, (rows, x.size // max(rows, 1)))


def Gather(x, indices, *, axis=0):
    return take(x, indices, axis_of(axis, x.rank))


def Pad(x, *, pads, constant_value=None, axes=None, mode="constant"):
    axes = range(x.rank) if axes is None else [axis_of(axis, x.rank) for axis in axes]
    before, after = [0] * x.rank, [0] * x.rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = pads[position], pads[position + len(axes)]
    image = x.rank == 4 and x.dtype == "float32" and not any(before[:2] + after[:2])
    small = all(0 <= pad < extent for pad, extent in zip(before + after, x.shape * 2))
    if image and min(before + after) >= 0 and (mode == "constant" or (mode == "reflect" and small)):
        shape = [extent + first + last for extent, first, last in zip(x.shape, before, after)]
        return call("PadImage", x, shape=shape, pads=before[2:] + after[2:], mode=mode,
                    value=float(constant_value or 0))  # fmt: skip
    # workaround: Caffe2's PadImage pads images only, and those only in width and height
    for axis in range(x.rank):
        x = _pad_axis(x, axis, before[axis], after[axis], mode, constant_value or 0)
    return x


def _pad_axis(x, axis, before, after, mode, value):
    if not before and not after:
        return x
    extent = x.shape[axis]
    if mode != "constant":
        positions = numpy.arange(-before, extent + after)
        if mode == "edge":
            positions = positions.clip(0, extent - 1)
        elif mode == "wrap":
            positions = positions % extent
        else:
            period = max(2 * (extent - 1), 1)
            positions = positions % period
            positions = numpy.minimum(positions, period - positions) if extent > 1 else positions * 0
        return take(x, constant(x, positions, "int64"), axis)
    x = slice_axis(x, axis, max(-before, 0), extent - max(-after, 0))
    sides = [
        constant(x, numpy.full(x.shape[:axis] + (count,) + x.shape[axis + 1 :], value)) if count > 0 else None
        for count in (before, after)
    ]
    return concat([part for part in (sides[0], x, sides[1]) if part is not None], axis)


def Reshape(x, *, shape, allowzero=0):
    shape = [x.shape[i] if extent == 0 and not allowzero else extent for i, extent in enumerate(shape)]
    if -1 in shape:
        rest = -int(numpy.prod(shape, dtype=int))
        shape[shape.index(-1)] = x.size // max(rest, 1)
    return reshape(x, shape)


def Slice(x, *, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    # workaround: Caffe2's Slice cuts one axis at a time
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = axis_of(axis, x.rank)
        extent = x.shape[axis]
        start, stop, _ = slice(start, end if step > 0 or end >= -extent else None, step).indices(extent)
        if step == 1:
            x = slice_axis(x, axis, start, max(start, stop))
        else:
            # workaround: Caffe2's Slice has no steps
            x = take(x, constant(x, range(start, stop, step), "int64"), axis)
    return x


def SpaceToDepth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    apart = reshape(x, (n, c, h // blocksize, blocksize, w // blocksize, blocksize))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return reshape(transpose(apart, order), (n, c * blocksize**2, h // blocksize, w // blocksize))


def Split(x, *, split=None, axis=0, num_outputs=None):
    axis = axis_of(axis, x.rank)
    if split is None:
        part = -(-x.shape[axis] // num_outputs)
        split = [part] * (num_outputs - 1) + [x.shape[axis] - part * (num_outputs - 1)]
    return split_axis(x, split, axis)


def Squeeze(x, *, axes=None):
    axes = [axis_of(axis, x.rank) for axis in axes] if axes is not None else None
    keep = [i for i, extent in enumerate(x.shape) if (extent != 1 if axes is None else i not in axes)]
    return reshape(x, [x.shape[i] for i in keep])


def Tile(x, *, repeats):
    if x.dtype not in TYPES["Tile"]:
        # workaround: Caffe2 does not tile int8, int16, uint16 and bool
        return cast(Tile(cast(x, "int32"), repeats=repeats), x.dtype)
    for axis, count in enumerate(repeats):
        if count != 1:
            shape = x.shape[:axis] + (x.shape[axis] * count,) + x.shape[axis + 1 :]
            x = call("Tile", x, shape=shape, tiles=int(count), axis=axis)
    return x


def Transpose(x, *, perm=None):
    return transpose(x, range(x.rank)[::-1] if perm is None else perm)


def Unsqueeze(x, *, axes):
    axes = numpy.atleast_1d(axes).tolist()
    rank = x.rank + len(axes)
    axes = {axis_of(axis, rank) for axis in axes}
    extents = iter(x.shape)
    return reshape(x, [1 if i in axes else next(extents) for i in range(rank)])


def OneHot(indices, values, *, depth, axis=-1):
    axis = axis_of(axis, indices.rank + 1)
    wide = reshape(indices, indices.shape[:axis] + (1,) + indices.shape[axis:])
    places = constant(wide, numpy.arange(depth).reshape([-1] + [1] * (indices.rank - axis)))
    negative = call("Sub", places, constant(wide, depth))
    hot = call("Or", call("EQ", wide, places, dtype="bool"), call("EQ", wide, negative, dtype="bool"))
    off, on = (slice_axis(values, 0, i, i + 1) for i in (0, 1))
    return Where(hot, on, off)


def EyeLike(x, *, dtype=None, k=0):
    return constant(x, numpy.eye(*x.shape, k=k), dtype)


def Trilu(x, *, k=0, upper=1):
    mask = numpy.triu(numpy.ones(x.shape[-2:]), k) if upper else numpy.tril(numpy.ones(x.shape[-2:]), k)
    return Where(constant(x, mask, "bool"), x, constant(x, 0))
