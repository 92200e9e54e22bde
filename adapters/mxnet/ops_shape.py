"""ONNX operators on MXNet symbols: moving data about, namely shapes, slices, pads, gathering and scattering."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .ops import Add, And, Mod, Sub, Where, broadcast_to, cast, concatenate, full, normalized_axes, reshape, transpose
from .symbols import F, Value, constant


def Reshape(x, *, shape, allowzero=0):
    wanted = list(shape)
    for i, extent in enumerate(wanted):
        if extent == 0 and not allowzero:
            wanted[i] = x.shape[i]
    if -1 in wanted:
        known = int(numpy.prod([extent for extent in wanted if extent != -1], dtype=numpy.int64))
        wanted[wanted.index(-1)] = x.size // known if known else 0
    return reshape(x, wanted)


def Flatten(x, *, axis=1):
    axis = axis % x.ndim if axis < 0 else axis
    rows = int(numpy.prod(x.shape[:axis], dtype=numpy.int64))
    return reshape(x, (rows, int(numpy.prod(x.shape[axis:], dtype=numpy.int64))))


def Squeeze(x, *, axes=None):
    gone = (
        {i for i, extent in enumerate(x.shape) if extent == 1} if axes is None else set(normalized_axes(axes, x.ndim))
    )
    return reshape(x, [extent for i, extent in enumerate(x.shape) if i not in gone])


def Unsqueeze(x, *, axes):
    axes = numpy.atleast_1d(axes)
    rank = x.ndim + len(axes)
    new, extents = {axis % rank for axis in axes}, iter(x.shape)
    return reshape(x, [1 if i in new else next(extents) for i in range(rank)])


def Transpose(x, *, perm=None):
    return transpose(x, perm if perm is not None else range(x.ndim)[::-1])


def Expand(x, *, shape):
    return broadcast_to(x, numpy.broadcast_shapes(x.shape, tuple(shape)))


def Tile(x, *, repeats):
    """One axis at a time, as a broadcast of three."""
    # workaround: MXNet's tile fails beyond three axes
    for axis, count in enumerate(repeats):
        if count != 1:
            before = int(numpy.prod(x.shape[:axis], dtype=numpy.int64))
            shape = x.shape[:axis] + (x.shape[axis] * count,) + x.shape[axis + 1 :]
            rows = reshape(x, (before, 1, x.size // before))
            x = reshape(broadcast_to(rows, (before, count, x.size // before)), shape)
    return x


def Concat(*tensors, axis):
    return concatenate(tensors, axis % tensors[0].ndim)


def Split(x, *, split, axis=0, num_outputs=None):
    if len(split) == 1:
        return F._copy(x)
    starts = tuple(int(i) for i in numpy.cumsum([0] + list(split[:-1])))
    return tuple(F._split_v2(x, indices=starts, axis=axis % x.ndim, squeeze_axis=False, sections=0))


def Slice(x, *, starts, ends, axes, steps):
    ranges = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        ranges[axis] = slice(start, end, step)
    return take_slices(x, ranges)


def take_slices(x, ranges):
    """x[ranges] for Python slices, one per axis."""
    bounds = [one.indices(extent) for one, extent in zip(ranges, x.shape)]
    if all(bound == (0, extent, 1) for bound, extent in zip(bounds, x.shape)):
        return x
    begin, end, step = zip(*bounds)
    return F.slice(x, begin=begin, end=tuple(e if e >= 0 else None for e in end), step=step)


def Pad(x, constant_value=0, *, pads, axes=None, mode="constant"):
    axes = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(pads) // 2])
    ranges = [slice(max(0, -low), extent - max(0, -high)) for (low, high), extent in zip(widths, x.shape)]
    x = take_slices(x, ranges)
    widths = [(max(0, low), max(0, high)) for low, high in widths]
    if not isinstance(constant_value, Value):
        return pad(x, widths, mode, constant_value)
    outside = numpy.pad(numpy.zeros(x.shape, bool), widths, constant_values=True)
    return Where(constant(outside), reshape(constant_value, ()), pad(x, widths, mode))


def pad(x, widths, mode="constant", value=0):
    """numpy.pad for widths that are not negative."""
    if all(width == (0, 0) for width in widths):
        return x
    # workaround: MXNet's pad has a gradient only for constants
    if mode != "constant":
        for axis, width in enumerate(widths):
            if width != (0, 0):
                order = numpy.pad(numpy.arange(x.shape[axis]), width, mode=mode)
                x = F.take(x, constant(order), axis=axis, mode="clip")
        return x
    # workaround: MXNet reads the widths of one axis as those of two
    if x.ndim == 1:
        return reshape(pad(reshape(x, (1, x.size)), [(0, 0)] + list(widths), mode, value), (x.size + sum(widths[0]),))
    return F._npi_pad(x, pad_width=tuple(widths), mode="constant", constant_value=value or 0)


def Gather(x, indices, *, axis=0):
    return take(x, indices, axis % x.ndim)


def take(x, indices, axis):
    """mode="wrap" gives ONNX's negative indices their meaning."""
    return F.take(x, indices, axis=axis, mode="wrap")


def GatherElements(x, indices, *, axis=0):
    return F.gather_nd(x, _element_coordinates(x, indices, axis % x.ndim))


def _element_coordinates(x, indices, axis):
    """(rank, *indices.shape): where each element lies, for gather_nd and scatter."""
    grid = numpy.indices(indices.shape)
    rows = [constant(grid[i : i + 1]) for i in range(x.ndim)]
    rows[axis] = reshape(cast(wrapped(indices, x.shape[axis]), "int64"), (1,) + indices.shape)
    return concatenate(rows, 0)


def wrapped(indices, extent):
    """Indices with the negative ones counted from the end."""
    negative = F._npi_less(indices, full((), 0, indices.dtype))
    return Where(negative, F._npi_add_scalar(indices, scalar=extent), indices)


def GatherND(x, indices, *, batch_dims=0):
    return F.gather_nd(x, _coordinates(x, indices, batch_dims))


def _coordinates(x, indices, batch_dims=0):
    """(depth, ...): the last axis of ONNX's indices first, none negative, batch positions before them."""
    depth = indices.shape[-1]
    extents = constant(numpy.array(x.shape[batch_dims : batch_dims + depth]))
    indices = cast(indices, "int64")
    places = Where(F._npi_less(indices, full((), 0, "int64")), F._npi_add(indices, extents), indices)
    rows = transpose(places, (indices.ndim - 1,) + tuple(range(indices.ndim - 1)))
    if not batch_dims:
        return rows
    return concatenate([constant(numpy.indices(indices.shape[:-1])[:batch_dims]), rows], 0)


def ScatterND(x, indices, updates, *, reduction="none"):
    return _scatter(x, _coordinates(x, indices), updates, reduction)


def ScatterElements(x, indices, updates, *, axis=0, reduction="none"):
    return _scatter(x, _element_coordinates(x, indices, axis % x.ndim), updates, reduction)


def _scatter(x, coordinates, updates, reduction):
    # workaround: MXNet's own setting scatter has no gradient, and CachedOp wants one; so it is added up
    if reduction not in ("none", "add"):
        raise Unsupported("reduction=%r: MXNet scatters only by setting and adding" % reduction)
    sums = F._backward_gather_nd(updates, coordinates, shape=x.shape)
    if reduction == "add":
        return F._npi_add(x, sums)
    hits = F._backward_gather_nd(full(updates.shape, 1, "float32"), coordinates, shape=x.shape)
    return Where(cast(F.BlockGrad(hits), "bool"), sums, x)


def TensorScatter(cache, update, write_indices=None, *, axis=-2, mode="linear"):
    """Each place of the cache asks which step of the update falls on it, if any."""
    axis %= cache.ndim
    extent, steps = cache.shape[axis], update.shape[axis]
    places = constant(numpy.arange(extent).reshape([-1 if i == axis else 1 for i in range(cache.ndim)]))
    if write_indices is None:
        step = places
    else:
        step = Sub(places, reshape(cast(write_indices, "int64"), [-1] + [1] * (cache.ndim - 1)))
    if mode == "circular":
        step = Mod(step, full((), extent, "int64"))
    zero, last = full((), 0, "int64"), full((), steps - 1, "int64")
    hit = And(F._npi_greater_equal(step, zero), F._npi_less_equal(step, last))
    source = F._npi_maximum(F._npi_minimum(step, last), zero)
    written = GatherElements(update, broadcast_to(source, cache.shape), axis=axis)
    return Where(broadcast_to(hit, cache.shape), written, cache)


def OneHot(indices, values, *, depth, axis=-1):
    depth = int(numpy.asarray(depth).reshape(()))
    rank = indices.ndim + 1
    axis %= rank
    shape = indices.shape[:axis] + (1,) + indices.shape[axis:]
    places = constant(numpy.arange(depth).reshape([-1 if i == axis else 1 for i in range(rank)]))
    hit = F._npi_equal(wrapped(reshape(cast(indices, "int64"), shape), depth), places)  # none, beyond the depth
    off, on = (take_slices(values, [slice(i, i + 1)]) for i in (0, 1))
    return Where(hit, reshape(on, ()), reshape(off, ()))


def Trilu(x, *, k=0, upper=1):
    ones = numpy.ones(x.shape[-2:], bool)
    mask = numpy.triu(ones, k) if upper else numpy.tril(ones, k)
    return Where(constant(mask), x, full((), 0, x.dtype))


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    """All is sorted; equal values make a group, and keys of group and index are sorted once more."""
    # workaround: MXNet's topk puts equal values in any order, ONNX the lower index first
    axis %= x.ndim
    extent, count = x.shape[axis], int(numpy.asarray(K).reshape(()))
    values, order = F.topk(F.BlockGrad(x), k=extent, axis=axis, ret_typ="both", is_ascend=not largest, dtype="int64")
    first, rest = (_along(values, axis, slice(*bounds)) for bounds in ((None, -1), (1, None)))
    steps = pad(cast(F._npi_not_equal(first, rest), "int64"), [(int(i == axis), 0) for i in range(x.ndim)])
    groups = F._npi_multiply_scalar(F._np_cumsum(steps, axis=axis), scalar=extent)
    keys = F.topk(Add(groups, order), k=extent, axis=axis, ret_typ="value", is_ascend=True)
    indices = _along(Sub(keys, groups), axis, slice(0, count))
    return GatherElements(x, indices, axis=axis), indices


def _along(x, axis, one):
    return take_slices(x, [one if i == axis else slice(None) for i in range(x.ndim)])


def DepthToSpace(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    if mode == "DCR":
        parts = transpose(reshape(x, (n, blocksize, blocksize, c // blocksize**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        parts = transpose(reshape(x, (n, c // blocksize**2, blocksize, blocksize, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(parts, (n, c // blocksize**2, h * blocksize, w * blocksize))


def SpaceToDepth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    parts = reshape(x, (n, c, h // blocksize, blocksize, w // blocksize, blocksize))
    parts = transpose(parts, (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return reshape(parts, (n, c * blocksize**2, h // blocksize, w // blocksize))


def ReverseSequence(x, sequence_lens, *, batch_axis=1, time_axis=0):
    """Step t of a sequence of n steps comes from step n-1-t, steps behind its end stay."""
    steps = constant(numpy.arange(x.shape[time_axis]).reshape([-1 if i == time_axis else 1 for i in range(x.ndim)]))
    lengths = reshape(cast(sequence_lens, "int64"), [-1 if i == batch_axis else 1 for i in range(x.ndim)])
    reversed_steps = F._npi_add_scalar(Sub(lengths, steps), scalar=-1)
    source = Where(F._npi_less(steps, lengths), reversed_steps, steps)
    return GatherElements(x, broadcast_to(source, x.shape), axis=time_axis)


def EyeLike(x, *, dtype=None, k=0):
    return constant(numpy.eye(*x.shape, k=k, dtype=dtype or x.dtype))
