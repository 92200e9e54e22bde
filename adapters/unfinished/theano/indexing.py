"""ONNX operators on Theano's variables: gathering, scattering, one-hot."""

from __future__ import annotations

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported
from .common import constant, extents, known, reshape


def Gather(x, indices, *, axis=0):
    axis %= x.ndim
    where = known(indices)
    if where is not None and where.ndim == 0:
        return x[(slice(None),) * axis + (int(where),)]
    if indices.ndim == 0:
        return T.take(x, indices.dimshuffle("x"), axis=axis).dimshuffle(*[i for i in range(x.ndim) if i != axis]) * 1
    taken = T.take(x, indices.flatten().astype("int64"), axis=axis)
    shape = extents(x)
    return taken if indices.ndim == 1 else reshape(taken, shape[:axis] + extents(indices) + shape[axis + 1 :])


def _grid(shape, axis, indices):
    """Indices for every axis of a tensor of indices; on `axis` those."""
    rank = len(shape)
    grid = [constant(numpy.arange(n).reshape([-1 if j == i else 1 for j in range(rank)])) for i, n in enumerate(shape)]
    grid[axis] = indices.astype("int64")
    return tuple(grid)


def GatherElements(x, indices, *, axis=0):
    return x[_grid(extents(indices), axis % x.ndim, indices)]


def ScatterElements(x, indices, updates, *, axis=0, reduction="none"):
    place = x[_grid(extents(indices), axis % x.ndim, indices)]
    return _scattered(place, updates, reduction)


def _scattered(place, updates, reduction):
    if reduction == "none":
        return T.set_subtensor(place, updates)
    if reduction == "add":
        return T.inc_subtensor(place, updates)
    raise Unsupported("reduction=%r" % reduction)


def _columns(indices):
    """The entries of the last axis, one tensor each."""
    return [indices[..., i].astype("int64") for i in range(extents(indices)[-1])]


def GatherND(x, indices, *, batch_dims=0):
    shape = extents(indices)[:-1]
    rank = len(shape)
    batch = [
        constant(numpy.arange(n).reshape([-1 if j == i else 1 for j in range(rank)]))
        for i, n in enumerate(shape[:batch_dims])
    ]
    return x[tuple(batch + _columns(indices))]


def ScatterND(x, indices, updates, *, reduction="none"):
    return _scattered(x[tuple(_columns(indices))], updates, reduction)


def OneHot(indices, values, *, depth, axis=-1):
    """Indices may be negative; what is out of range is off everywhere."""
    depth, rank = int(numpy.asarray(depth).reshape(())), indices.ndim + 1
    axis %= rank
    order = list(range(indices.ndim))
    hot = indices.dimshuffle(*(order[:axis] + ["x"] + order[axis:]))
    if indices.dtype.startswith("float"):
        hot = hot.astype("int64")
    hot = T.switch(hot < constant(0, hot.dtype), hot + constant(depth, hot.dtype), hot)
    places = constant(numpy.arange(depth).reshape([-1 if i == axis else 1 for i in range(rank)]), hot.dtype)
    return T.switch(T.eq(hot, places), values[1], values[0])


def NonZero(x):
    if x.ndim == 0:
        raise Unsupported("a tensor of rank 0")
    return T.stack([place.astype("int64") for place in T.nonzero(x)])


def Compress(x, condition, *, axis=None):
    places = T.nonzero(condition)[0]
    return x.flatten()[places] if axis is None else T.take(x, places, axis=axis % x.ndim)
