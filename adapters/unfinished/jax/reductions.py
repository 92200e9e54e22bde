"""ONNX's reductions, sorting and scans along axes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from ..kit.interface import Unsupported
from .dtypes import is_float, is_integer, wide


def _axes(x, axes, noop):
    """The axes to reduce: all where none are given, unless ONNX's noop attribute says that this means none."""
    if axes is not None and len(axes):
        return tuple(axis % x.ndim for axis in axes)
    return () if noop else tuple(range(x.ndim))


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return jnp.sum(x, _axes(x, axes, noop_with_empty_axes), x.dtype, keepdims=bool(keepdims))


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    if is_integer(x):
        raise Unsupported("a mean of integers")
    return jnp.mean(x, _axes(x, axes, noop_with_empty_axes), keepdims=bool(keepdims))


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return jnp.prod(x, _axes(x, axes, noop_with_empty_axes), x.dtype, keepdims=bool(keepdims))


def _bounds(dtype):
    if dtype == jnp.bool_:
        return False, True
    if jnp.issubdtype(dtype, jnp.floating):
        return -jnp.inf, jnp.inf
    return jnp.iinfo(dtype).min, jnp.iinfo(dtype).max


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _axes(x, axes, noop_with_empty_axes)
    initial = None if x.size else _bounds(x.dtype)[0]
    return jnp.max(x, axes, keepdims=bool(keepdims), initial=initial)


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _axes(x, axes, noop_with_empty_axes)
    initial = None if x.size else _bounds(x.dtype)[1]
    return jnp.min(x, axes, keepdims=bool(keepdims), initial=initial)


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return ReduceSum(jnp.abs(x), axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return ReduceSum(x * x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    power = ReduceSumSquare(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
    return jnp.sqrt(power).astype(x.dtype)


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    total = ReduceSum(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
    return jnp.log(total).astype(x.dtype)


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _axes(x, axes, noop_with_empty_axes)
    if not axes:
        return x
    return jax.nn.logsumexp(x, axes, keepdims=bool(keepdims)).astype(x.dtype)


def _arg(function, x, axis, keepdims, select_last_index):
    if not select_last_index:
        return function(x, axis, keepdims=bool(keepdims)).astype(jnp.int64)
    return x.shape[axis] - 1 - function(jnp.flip(x, axis), axis, keepdims=bool(keepdims)).astype(jnp.int64)


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(jnp.argmax, x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(jnp.argmin, x, axis, keepdims, select_last_index)


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    k = int(K[0] if isinstance(K, (list, tuple)) else K)
    last = jnp.moveaxis(x, axis, -1)
    if largest:
        values, indices = lax.top_k(last, k)
    else:
        indices = jnp.argsort(last, stable=True)[..., :k]
        values = jnp.take_along_axis(last, indices, -1)
    return jnp.moveaxis(values, -1, axis), jnp.moveaxis(indices.astype(jnp.int64), -1, axis)


def _scan(function, x, axis, exclusive, reverse, neutral):
    axis = int(axis[0] if isinstance(axis, (list, tuple)) else axis) % x.ndim
    y = function(wide(x), axis, reverse=bool(reverse)).astype(x.dtype)
    if not exclusive:
        return y
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (-1, 1, 0) if reverse else (1, -1, 0)
    return lax.pad(y, jnp.asarray(neutral, x.dtype), pads)


def CumSum(x, *, axis, exclusive=0, reverse=0):
    return _scan(lax.cumsum, x, axis, exclusive, reverse, 0)


def CumProd(x, *, axis, exclusive=0, reverse=0):
    return _scan(lax.cumprod, x, axis, exclusive, reverse, 1)


def Softmax(x, *, axis=-1):
    return jax.nn.softmax(x, axis)


def LogSoftmax(x, *, axis=-1):
    return jax.nn.log_softmax(x, axis)


def Hardmax(x, *, axis=-1):
    return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], dtype=x.dtype, axis=axis)


def LpNormalization(x, *, axis=-1, p=2):
    norm = jnp.sum(jnp.abs(x), axis, keepdims=True)
    if p == 2:
        power = jnp.sum(x * x, axis, keepdims=True)
        norm = jnp.where(power == 0, 0, jnp.sqrt(jnp.where(power == 0, 1, power)))
    return jnp.where(norm == 0, 0, x / jnp.where(norm == 0, 1, norm)).astype(x.dtype)


def MeanVarianceNormalization(x, *, axes=(0, 2, 3)):
    mean = jnp.mean(x, tuple(axes), keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), tuple(axes), keepdims=True)
    return (x - mean) / (jnp.sqrt(variance) + 1e-9)


# Products


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = jnp.matmul(a.T if transA else a, b.T if transB else b)
    y = y if alpha == 1 else y * _factor(alpha, y)
    return y if c is None else y + (c if beta == 1 else c * _factor(beta, y))


def _factor(number, x):
    if not is_float(x) and number != int(number):
        raise Unsupported("the factor {} on integers".format(number))
    return number if is_float(x) else int(number)


def MatMul(a, b):
    return jnp.matmul(a, b)


def Einsum(*tensors, equation):
    return jnp.einsum(equation.replace(" ", ""), *tensors)


def Det(x):
    return jnp.linalg.det(x)
