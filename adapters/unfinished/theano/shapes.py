"""ONNX operators on Theano's variables: shapes and the movement of data."""

from __future__ import annotations

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported
from ..kit.resampling import outside_of, resized_axes
from .common import FLOATS, broadcast_to, constant, extents, full, padded, require, reshape


def Reshape(x, *, shape, allowzero=0):
    old = extents(x)
    shape = [old[i] if extent == 0 and not allowzero else extent for i, extent in enumerate(shape)]
    if -1 in shape:
        others = int(numpy.prod([extent for extent in shape if extent != -1], dtype=numpy.int64))
        whole = int(numpy.prod(old, dtype=numpy.int64))
        shape = [whole // others if extent == -1 else extent for extent in shape]
    return reshape(x, shape)


def Flatten(x, *, axis=1):
    shape = extents(x)
    axis = axis + x.ndim if axis < 0 else axis
    rows = int(numpy.prod(shape[:axis], dtype=numpy.int64))
    return reshape(x, (rows, int(numpy.prod(shape[axis:], dtype=numpy.int64))))


def Transpose(x, *, perm=None):
    return x.dimshuffle(*(range(x.ndim)[::-1] if perm is None else perm))


def Squeeze(x, *, axes=None):
    shape = extents(x)
    dropped = {axis % x.ndim for axis in axes} if axes is not None else {i for i, n in enumerate(shape) if n == 1}
    if any(shape[axis] != 1 for axis in dropped):
        raise Unsupported("an extent that is not 1 cannot be squeezed")
    return x.dimshuffle(*[i for i in range(x.ndim) if i not in dropped])


def Unsqueeze(x, *, axes):
    rank = x.ndim + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(range(x.ndim))
    return x.dimshuffle(*["x" if i in new else next(old) for i in range(rank)])


def Expand(x, *, shape):
    wanted = numpy.broadcast(numpy.empty(extents(x), bool), numpy.empty(tuple(shape), bool)).shape
    return x if wanted == extents(x) else broadcast_to(x, wanted)


def Concat(*tensors, axis):
    return tensors[0] if len(tensors) == 1 else T.join(axis % tensors[0].ndim, *tensors)


def Split(x, *, split, axis=0, num_outputs=None):
    sizes = [int(size) for size in split]
    if len(sizes) == 1:
        return x
    return tuple(T.split(x, sizes, len(sizes), axis=axis % x.ndim))


def Slice(x, *, starts, ends, axes, steps):
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        first, last, step = slice(start, end, step).indices(extents(x)[axis])
        index[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(index)]


def Tile(x, *, repeats):
    # workaround: Theano's tile has no gradient where it adds axes, and a copy per element
    shape, rank = extents(x), x.ndim
    inner = [extent for pair in zip([1] * rank, shape) for extent in pair]
    outer = [extent for pair in zip(repeats, shape) for extent in pair]
    return reshape(broadcast_to(reshape(x, inner), outer), [n * extent for n, extent in zip(repeats, shape)])


def Pad(x, *, pads, constant_value=0, axes=None, mode="constant"):
    rank = x.ndim
    axes = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    shape = extents(x)
    if mode != "constant":
        return _repeated(x, shape, before, after, mode)
    index = tuple(slice(max(0, -b), n - max(0, -a)) for n, b, a in zip(shape, before, after))
    x = x[index] if any(number < 0 for number in before + after) else x
    inner = [one.stop - one.start for one in index]
    frame = [[max(0, number) for number in side] for side in (before, after)]
    return padded(x, inner, frame[0], frame[1], 0 if constant_value is None else constant_value)


def _repeated(x, shape, before, after, mode):
    if mode not in ("reflect", "edge", "wrap"):
        raise Unsupported("mode=%r" % mode)
    if 0 in shape:
        raise Unsupported("there is nothing to repeat")
    for axis, extent in enumerate(shape):
        places = numpy.arange(-before[axis], extent + after[axis])
        if mode == "edge":
            places = places.clip(0, extent - 1)
        elif mode == "wrap":
            places %= extent
        else:
            period = max(1, 2 * (extent - 1))
            places = extent - 1 - abs(extent - 1 - places % period)
        if not numpy.array_equal(places, numpy.arange(extent)):
            x = T.take(x, constant(places, "int64"), axis=axis)
    return x


def DepthToSpace(x, *, blocksize, mode="DCR"):
    n, c, h, w = extents(x)
    if mode == "DCR":
        parts = reshape(x, (n, blocksize, blocksize, c // blocksize**2, h, w)).dimshuffle(0, 3, 4, 1, 5, 2)
    else:
        parts = reshape(x, (n, c // blocksize**2, blocksize, blocksize, h, w)).dimshuffle(0, 1, 4, 2, 5, 3)
    return reshape(parts, (n, c // blocksize**2, h * blocksize, w * blocksize))


def SpaceToDepth(x, *, blocksize, mode="DCR"):
    n, c, h, w = extents(x)
    parts = reshape(x, (n, c, h // blocksize, blocksize, w // blocksize, blocksize))
    parts = parts.dimshuffle(*((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)))
    return reshape(parts, (n, c * blocksize**2, h // blocksize, w // blocksize))


def Trilu(x, *, k=0, upper=1):
    ones = numpy.ones(extents(x)[-2:], bool)
    mask = numpy.triu(ones, k) if upper else numpy.tril(ones, k)
    return T.switch(constant(mask), x, constant(0, x.dtype))


def EyeLike(x, *, dtype=None, k=0):
    rows, columns = extents(x)
    return constant(numpy.eye(rows, columns, k=k, dtype=dtype or x.dtype))


def ConstantOfShape(*, input, value=None):
    value = numpy.zeros(1, numpy.float32) if value is None else numpy.asarray(value)
    return full(input, value.reshape(()), value.dtype.name)


def Range(start, limit, delta, *, dtype=None):
    raise Unsupported("a range that depends on data")


def Resize(
    x, *, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    mode="nearest", nearest_mode="round_prefer_floor",
):  # fmt: skip
    """One axis after the other: elements are picked, or multiplied by a matrix of weights."""
    shape = extents(x)
    resized = resized_axes(
        shape, roi, scales, sizes, axes, antialias, coordinate_transformation_mode, cubic_coeff_a, exclude_outside,
        keep_aspect_ratio_policy, mode, nearest_mode,
    )  # fmt: skip
    for one in resized:
        if one.idle:
            continue
        if one.indices is not None:
            x = T.take(x, constant(one.indices, "int64"), axis=one.axis)
            continue
        require(x, FLOATS, "interpolation")
        last = [i for i in range(x.ndim) if i != one.axis] + [one.axis]
        product = T.tensordot(x.dimshuffle(*last), constant(one.matrix.T, x.dtype), axes=1)
        x = product.dimshuffle(*[int(i) for i in numpy.argsort(last)])
    outside = outside_of(shape, resized)
    return T.switch(constant(outside), constant(extrapolation_value, x.dtype), x) if outside.any() else x


def ReverseSequence(x, sequence_lens, *, batch_axis=1, time_axis=0):
    """Step t of a sequence of n steps comes from step n-1-t; steps behind its end stay."""
    shape = extents(x)
    grid = [
        constant(numpy.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])) for i, n in enumerate(shape)
    ]
    lengths = sequence_lens.astype("int64").dimshuffle(*[0 if i == batch_axis else "x" for i in range(x.ndim)])
    steps = grid[time_axis]
    grid[time_axis] = T.switch(steps < lengths, lengths - constant(1, "int64") - steps, steps)
    return x[tuple(grid)]
