"""ONNX's operators that move data about: shapes, gathering and scattering."""

from __future__ import annotations

import math

import numpy

import jax
import jax.numpy as jnp
from jax import lax

from ..kit.interface import Unsupported
from .dtypes import type_of

# Shapes


def Reshape(x, *, shape, allowzero=0):
    return x.reshape([n if n or allowzero else x.shape[i] for i, n in enumerate(shape)])


def Flatten(x, *, axis=1):
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def Transpose(x, *, perm=None):
    return jnp.transpose(x, perm)


def _listed(axes):
    return [axes] if isinstance(axes, int) else list(axes)


def Squeeze(x, *, axes=None):
    return jnp.squeeze(x, None if axes is None else tuple(_listed(axes)))


def Unsqueeze(x, *, axes):
    return jnp.expand_dims(x, tuple(_listed(axes)))


def Concat(*tensors, axis):
    return jnp.concatenate(tensors, axis)


def Split(x, *, split, axis=0, num_outputs=None):
    return tuple(jnp.split(x, numpy.cumsum(split)[:-1], axis))


def Slice(x, *, starts, ends, axes, steps):
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def Expand(x, *, shape):
    return jnp.broadcast_to(x, numpy.broadcast_shapes(x.shape, tuple(shape)))


def Tile(x, *, repeats):
    return jnp.tile(x, repeats)


def Pad(x, constant_value=0, *, pads, axes=None, mode="constant"):
    axes = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
    around = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        around[axis] = (pads[i], pads[len(axes) + i])
    if mode == "constant":
        return padded(x, around, 0 if constant_value is None else constant_value)
    for axis, pair in enumerate(around):
        if any(pair):
            x = jnp.take(x, _pad_places(x.shape[axis], pair, mode), axis)
    return x


def padded(x, around, value=0):
    """With a constant around; a negative padding crops."""
    value = jnp.asarray(value).astype(x.dtype).reshape(())
    return lax.pad(x, value, [(before, after, 0) for before, after in around])


def _pad_places(size, pair, mode):
    """Which element of an axis each element of the padded axis is; numpy's padding is ONNX's."""
    crop = [max(-p, 0) for p in pair]
    grown = numpy.pad(numpy.arange(size), [max(p, 0) for p in pair], mode=mode)
    return grown[crop[0] : len(grown) - crop[1]]


def DepthToSpace(x, *, blocksize, mode="DCR", layout="NCHW"):
    s = blocksize
    if layout == "NHWC":
        n, h, w, c = x.shape
        split, order = ([s, s, c // (s * s)], (0, 1, 3, 2, 4, 5)) if mode == "DCR" else (
            [c // (s * s), s, s], (0, 1, 4, 2, 5, 3)
        )  # fmt: skip
        return x.reshape(n, h, w, *split).transpose(order).reshape(n, h * s, w * s, c // (s * s))
    moved = DepthToSpace(jnp.moveaxis(x, 1, -1), blocksize=s, mode=mode, layout="NHWC")
    return jnp.moveaxis(moved, -1, 1)


def SpaceToDepth(x, *, blocksize, mode="DCR", layout="NCHW"):
    s = blocksize
    if layout == "NHWC":
        n, h, w, c = x.shape
        order = (0, 1, 3, 2, 4, 5) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return x.reshape(n, h // s, s, w // s, s, c).transpose(order).reshape(n, h // s, w // s, c * s * s)
    moved = SpaceToDepth(jnp.moveaxis(x, 1, -1), blocksize=s, mode=mode, layout="NHWC")
    return jnp.moveaxis(moved, -1, 1)


def Trilu(x, *, k=0, upper=1):
    return jnp.triu(x, k or 0) if upper else jnp.tril(x, k or 0)


def CenterCropPad(x, *, shape, axes=None):
    axes = range(x.ndim) if axes is None else axes
    around = [(0, 0)] * x.ndim
    for axis, wanted in zip(axes, shape):
        extra = wanted - x.shape[axis]
        before = extra // 2 if extra >= 0 else -(-extra // 2)
        around[axis] = (before, extra - before)
    return padded(x, around)


def EyeLike(x, *, dtype=None, k=0):
    return jnp.eye(*x.shape, k=k, dtype=x.dtype if dtype is None else type_of(dtype))


def Range(*, start, limit, delta, dtype):
    return jnp.asarray(numpy.arange(start, limit, delta), type_of(dtype))


# Gathering and scattering


def _counted(indices, extent):
    """Indices from the start; ONNX counts negative ones from the end."""
    if not isinstance(indices, jax.core.Tracer) and numpy.min(numpy.asarray(indices), initial=0) >= 0:
        return indices
    return jnp.where(indices < 0, indices + extent, indices)


def Gather(data, indices, *, axis=0):
    axis = axis % data.ndim
    index = (slice(None),) * axis + (_counted(indices, data.shape[axis]),)
    return data.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _elements(shape, indices, axis):
    """The index of every element of `indices`, of which `axis` says where it lies on that axis."""
    index = list(jnp.ogrid[tuple(slice(n) for n in indices.shape)])
    index[axis] = _counted(indices, shape[axis])
    return tuple(index)


def GatherElements(data, indices, *, axis=0):
    return data[_elements(data.shape, indices, axis % data.ndim)]


def GatherND(data, indices, *, batch_dims=0):
    grid = jnp.ogrid[tuple(slice(n) for n in indices.shape[:-1])] if batch_dims else []
    index = list(grid[:batch_dims])
    for i in range(indices.shape[-1]):
        index.append(_counted(indices[..., i], data.shape[batch_dims + i]))
    return data[tuple(index)]


def _scattered(data, index, updates, reduction):
    if reduction == "none":
        return data.at[index].set(updates)
    names = {"add": "add", "mul": "multiply", "max": "max", "min": "min"}
    if reduction not in names:
        raise Unsupported("reduction {!r}".format(reduction))
    return getattr(data.at[index], names[reduction])(updates)


def ScatterElements(data, indices, updates, *, axis=0, reduction="none"):
    return _scattered(data, _elements(data.shape, indices, axis % data.ndim), updates, reduction)


def ScatterND(data, indices, updates, *, reduction="none"):
    index = tuple(_counted(indices[..., i], data.shape[i]) for i in range(indices.shape[-1]))
    return _scattered(data, index, updates, reduction)


def OneHot(indices, values, *, depth, axis=-1):
    depth = int(depth[0] if isinstance(depth, (list, tuple)) else depth)
    indices = jnp.where(indices < 0, indices + depth, indices)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    classes = jnp.arange(depth, dtype=indices.dtype).reshape([-1] + [1] * (indices.ndim - axis))
    return jnp.where(jnp.expand_dims(indices, axis) == classes, values[1], values[0])


def ReverseSequence(x, sequence_lens, *, batch_axis=1, time_axis=0):
    """Along the time axis, the first `sequence_lens` elements of each row of the batch are reversed."""
    times, lengths = jnp.arange(x.shape[time_axis])[:, None], sequence_lens[None, :]
    places = jnp.where(times < lengths, lengths - 1 - times, times)
    places = places.T if batch_axis < time_axis else places
    shape = [n if axis in (batch_axis, time_axis) else 1 for axis, n in enumerate(x.shape)]
    return jnp.take_along_axis(x, places.reshape(shape), time_axis)


def TensorScatter(past_cache, update, write_indices=None, *, axis=-2, mode="linear"):
    axis = axis % past_cache.ndim
    places = jnp.arange(update.shape[axis])[None, :]
    places = places + (
        jnp.zeros((update.shape[0], 1), places.dtype) if write_indices is None else write_indices[:, None]
    )
    if mode == "circular":
        places = places % past_cache.shape[axis]
    shape = [n if a in (0, axis) else 1 for a, n in enumerate(update.shape)]
    index = list(jnp.ogrid[tuple(slice(n) for n in update.shape)])
    index[axis] = places.reshape(shape)
    return past_cache.at[tuple(index)].set(update)
