"""ONNX's operators that move data about: shapes, gathering and scattering, reductions, sorting, scans.

One function each, in the style of ops.py.
"""

from __future__ import annotations

import math

import numpy
import torch
import torch.nn.functional as F

from .dtypes import torch_type

# Shapes


def Reshape(x, *, shape, allowzero=0):
    return x.reshape([n if n or allowzero else x.shape[i] for i, n in enumerate(shape)])


def Flatten(x, *, axis=1):
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def Transpose(x, *, perm=None):
    return x.permute(list(perm) if perm is not None else list(range(x.ndim - 1, -1, -1)))


def Squeeze(x, *, axes=None):
    if axes is None:
        return x.squeeze()
    return x.squeeze(axes if isinstance(axes, int) else tuple(axes))


def Unsqueeze(x, *, axes):
    axes = [axes] if isinstance(axes, int) else axes
    rank = x.ndim + len(axes)
    for axis in sorted(a + rank if a < 0 else a for a in axes):
        x = x.unsqueeze(axis)
    return x


def Concat(*tensors, axis):
    return torch.cat(tensors, axis)


def Split(x, *, split, axis=0, num_outputs=None):
    return tuple(torch.split(x, list(split), axis))


def Slice(x, *, starts, ends, axes, steps):
    index, backwards = [slice(None)] * x.ndim, []
    for start, end, axis, step in zip(starts, ends, axes, steps):
        places = range(x.shape[axis])[start:end:step]
        # workaround: torch's slices take no negative steps.
        if step < 0:
            backwards.append(axis)
            places = places[::-1]
        index[axis] = slice(places.start, places.stop, places.step)
    y = x[tuple(index)]
    return y.flip(backwards) if backwards else y


def Expand(x, *, shape):
    return x.expand(numpy.broadcast_shapes(x.shape, tuple(shape)))


def Tile(x, *, repeats):
    return x.repeat(list(repeats))


def Pad(x, constant_value=0, *, pads, axes=None, mode="constant"):
    axes = range(x.ndim) if axes is None else [a + x.ndim if a < 0 else a for a in axes]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    if mode == "constant":
        return _pad_constant(x, before, after, constant_value or 0)
    if mode == "reflect" and _torch_reflects(x, before, after):
        return F.pad(x, [p for pair in zip(before[:1:-1], after[:1:-1]) for p in pair], "reflect")
    # workaround: but for constants, torch pads only the last axes, and by less than their extents.
    for axis, pair in enumerate(zip(before, after)):
        if any(pair):
            x = x.index_select(axis, torch.as_tensor(_pad_places(x.shape[axis], pair, mode)))
    return x


def _pad_constant(x, before, after, value):
    around = [p for pair in zip(before[::-1], after[::-1]) for p in pair]
    if isinstance(value, (int, float)):
        return F.pad(x, around, value=value)
    inside = F.pad(torch.ones(x.shape, dtype=torch.bool), around)
    return torch.where(inside, F.pad(x, around), value.reshape(()))


def _torch_reflects(x, before, after):
    spatial = zip(x.shape[2:], before[2:], after[2:])
    fits = all(0 <= first < size and 0 <= last < size for size, first, last in spatial)
    return x.ndim in (3, 4, 5) and not any(before[:2] + after[:2]) and fits and x.is_floating_point()


def _pad_places(size, pair, mode):
    """Which element of an axis each element of the padded axis is; numpy's padding is ONNX's."""
    places = numpy.arange(size)
    crop = [max(-p, 0) for p in pair]
    grown = numpy.pad(places, [max(p, 0) for p in pair], mode=mode)
    return grown[crop[0] : len(grown) - crop[1]]


def DepthToSpace(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    s = blocksize
    if mode == "DCR":
        y = x.reshape(n, s, s, c // (s * s), h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // (s * s), s, s, h, w).permute(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // (s * s), h * s, w * s)


def SpaceToDepth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    s = blocksize
    y = x.reshape(n, c, h // s, s, w // s, s)
    y = y.permute(0, 3, 5, 1, 2, 4) if mode == "DCR" else y.permute(0, 1, 3, 5, 2, 4)
    return y.reshape(n, c * s * s, h // s, w // s)


def Trilu(x, *, k=0, upper=1):
    return torch.triu(x, k or 0) if upper else torch.tril(x, k or 0)


def CenterCropPad(x, *, shape, axes=None):
    axes = range(x.ndim) if axes is None else axes
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, wanted in zip(axes, shape):
        extra = wanted - x.shape[axis]
        before[axis] = extra // 2 if extra >= 0 else -((-extra) // 2)
        after[axis] = extra - before[axis]
    return _pad_constant(x, before, after, 0)


def EyeLike(x, *, dtype=None, k=0):
    kind = x.dtype if dtype is None else torch_type(dtype)
    rows, columns = torch.arange(x.shape[0]).unsqueeze(1), torch.arange(x.shape[1])
    return (columns - rows == k).to(kind)


def Range(*, start, limit, delta, dtype):
    return torch.arange(start, limit, delta, dtype=torch_type(dtype))


# Gathering and scattering


def _long(indices):
    return indices if indices.dtype == torch.int64 else indices.to(torch.int64)


# workaround: torch's gather, scatter, index_select and embedding take no negative indices.
def _wrapped(indices, size):
    """Negative indices count from the end."""
    indices = _long(indices)
    return torch.where(indices < 0, indices + size, indices)


def Gather(data, indices, *, axis=0):
    axis = axis + data.ndim if axis < 0 else axis
    indices = _wrapped(indices, data.shape[axis])
    if axis == 0 and data.ndim == 2:
        return F.embedding(indices, data)
    shape = list(data.shape[:axis]) + list(indices.shape) + list(data.shape[axis + 1 :])
    return data.index_select(axis, indices.reshape(-1)).reshape(shape)


def GatherElements(data, indices, *, axis=0):
    return torch.gather(data, axis, _wrapped(indices, data.shape[axis]))


def GatherND(data, indices, *, batch_dims=0):
    batch, depth = list(data.shape[:batch_dims]), indices.shape[-1]
    shape = list(indices.shape[:-1]) + list(data.shape[batch_dims + depth :])
    data = data.reshape([math.prod(batch)] + list(data.shape[batch_dims:]))
    indices = _long(indices).reshape(math.prod(batch), -1, depth)
    rows = torch.arange(math.prod(batch)).unsqueeze(1).expand(indices.shape[:2])
    return data[(rows,) + tuple(indices.unbind(-1))].reshape(shape)


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def ScatterElements(data, indices, updates, *, axis=0, reduction="none"):
    indices = _wrapped(indices, data.shape[axis])
    if reduction == "none":
        return torch.scatter(data, axis, indices, updates)
    return torch.scatter_reduce(data, axis, indices, updates, _REDUCTIONS[reduction], include_self=True)


def ScatterND(data, indices, updates, *, reduction="none"):
    depth, shape = indices.shape[-1], data.shape
    rows = 0
    for i, column in enumerate(indices.unbind(-1)):
        rows = rows * shape[i] + _wrapped(column, shape[i])
    flat = data.reshape(math.prod(shape[:depth]), -1)
    rows, updates = rows.reshape(-1, 1), updates.reshape(-1, flat.shape[1])
    return ScatterElements(flat, rows.expand(updates.shape), updates, reduction=reduction).reshape(shape)


def OneHot(indices, values, *, depth, axis=-1):
    depth = int(depth[0] if isinstance(depth, (list, tuple)) else depth)
    indices = _wrapped(indices, depth)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    classes = torch.arange(depth).reshape([-1] + [1] * (indices.ndim - axis))
    return torch.where(indices.unsqueeze(axis) == classes, values[1], values[0])


def ReverseSequence(x, sequence_lens, *, batch_axis=1, time_axis=0):
    """Along the time axis, the first `sequence_lens` elements of each row of the batch are reversed."""
    times = torch.arange(x.shape[time_axis]).reshape([-1, 1])
    lengths = _long(sequence_lens).reshape(1, -1)
    places = torch.where(times < lengths, lengths - 1 - times, times)
    if batch_axis < time_axis:
        places = places.t()
    shape = [n if axis in (batch_axis, time_axis) else 1 for axis, n in enumerate(x.shape)]
    return torch.gather(x, time_axis, places.reshape(shape).expand(x.shape))


def TensorScatter(past_cache, update, write_indices=None, *, axis=-2, mode="linear"):
    axis = axis + past_cache.ndim if axis < 0 else axis
    places = torch.arange(update.shape[axis]).reshape(1, -1)
    if write_indices is not None:
        places = places + _long(write_indices).reshape(-1, 1)
    if mode == "circular":
        places = torch.remainder(places, past_cache.shape[axis])
    shape = [n if a in (0, axis) else 1 for a, n in enumerate(update.shape)]
    places = places.expand(update.shape[0], -1).reshape(shape).expand(update.shape)
    return torch.scatter(past_cache, axis, places, update)


# Reductions


def _reduce(x, axes, noop_with_empty_axes):
    """The axes to reduce: all where none are given, unless ONNX's noop attribute says that this means none."""
    if axes is not None and len(axes):
        return [a + x.ndim if a < 0 else a for a in axes]
    return [] if noop_with_empty_axes else list(range(x.ndim))


def _like(y, x):
    """y in x's element type."""
    return y if y.dtype == x.dtype else y.to(x.dtype)


def _sum(x, axes, keepdims):
    return x.sum(axes, bool(keepdims), dtype=x.dtype) if axes else x


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _sum(x, _reduce(x, axes, noop_with_empty_axes), keepdims)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _reduce(x, axes, noop_with_empty_axes)
    return x.mean(axes, bool(keepdims)) if axes else x


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    # workaround: torch's prod reduces one axis at a time.
    for axis in sorted(_reduce(x, axes, noop_with_empty_axes), reverse=True):
        x = x.prod(axis, bool(keepdims), dtype=x.dtype)
    return x


def _extreme(x, axes, keepdims, function, identity):
    if not axes:
        return x
    if all(x.shape[axis] for axis in axes):
        return function(x, axes, bool(keepdims))
    # workaround: torch's amax and amin refuse an axis of no elements.
    shape = [1 if axis in axes else n for axis, n in enumerate(x.shape) if keepdims or axis not in axes]
    return torch.full(shape, identity, dtype=x.dtype)


def _bounds(dtype):
    if dtype == torch.bool:
        return False, True
    if dtype.is_floating_point:
        return -math.inf, math.inf
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _extreme(x, _reduce(x, axes, noop_with_empty_axes), keepdims, torch.amax, _bounds(x.dtype)[0])


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _extreme(x, _reduce(x, axes, noop_with_empty_axes), keepdims, torch.amin, _bounds(x.dtype)[1])


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _sum(x.abs(), _reduce(x, axes, noop_with_empty_axes), keepdims)


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _sum(x * x, _reduce(x, axes, noop_with_empty_axes), keepdims)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _like(_sum(x * x, _reduce(x, axes, noop_with_empty_axes), keepdims).sqrt(), x)


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _like(_sum(x, _reduce(x, axes, noop_with_empty_axes), keepdims).log(), x)


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _reduce(x, axes, noop_with_empty_axes)
    return torch.logsumexp(x, axes, bool(keepdims)) if axes else x


def _arg(function, x, axis, keepdims, select_last_index):
    if not select_last_index:
        return function(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - function(x.flip(axis), axis, bool(keepdims))


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(torch.argmax, x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(torch.argmin, x, axis, keepdims, select_last_index)


# workaround: torch's topk leaves open which of equal values it takes; ONNX says the first, as a stable sort does.
def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    k = int(K[0] if isinstance(K, (list, tuple)) else K)
    values, indices = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    return values.narrow(axis, 0, k), indices.narrow(axis, 0, k)


def _scan(function, x, axis, exclusive, reverse, neutral):
    axis = int(axis[0] if isinstance(axis, (list, tuple)) else axis)
    axis = axis + x.ndim if axis < 0 else axis
    x = x.flip(axis) if reverse else x
    if exclusive:
        first = torch.full([1 if a == axis else n for a, n in enumerate(x.shape)], neutral, dtype=x.dtype)
        x = torch.cat((first, x.narrow(axis, 0, x.shape[axis] - 1)), axis)
    y = function(x, axis, dtype=x.dtype)
    return y.flip(axis) if reverse else y


def CumSum(x, *, axis, exclusive=0, reverse=0):
    return _scan(torch.cumsum, x, axis, exclusive, reverse, 0)


def CumProd(x, *, axis, exclusive=0, reverse=0):
    return _scan(torch.cumprod, x, axis, exclusive, reverse, 1)
