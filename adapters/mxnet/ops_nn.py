"""ONNX operators on MXNet symbols: layers, namely products, convolutions, pooling, normalizations, activations."""

from __future__ import annotations

import itertools

import numpy

from ..kit.interface import Unsupported
from ..kit.windows import positions, reach_after, spans_of, spatial_pads, transposed_extents, transposed_pads
from .ops import (
    FLOATS,
    INTEGERS,
    Where,
    affine,
    broadcast_to,
    cast,
    full,
    in_float32,
    product,
    require,
    reshape,
    scaled,
    squared,
)
from .ops_shape import pad, take_slices
from .symbols import F, constant

#: MXNet multiplies float16 matrices only on a GPU, and through float32 the answers are not float16's.
MATRICES = ("float32", "float64")

# Products.


def MatMul(a, b):
    require(a, MATRICES + INTEGERS, "MatMul")
    if not a.floating:
        return integer_product(a, b)
    if b.stored is not None and a.ndim >= 2:
        return _linear(a, b.stored)
    if b.ndim == 2 and a.ndim > 2:
        return _linear(a, F.transpose(b))
    left, right = _same_batch(a, b)
    result = product(left, right)
    result.product = (left, right)
    return result


def _same_batch(a, b):
    # workaround: MXNet's gradient is wrong where both operands are broadcast, so one of them is beforehand
    left, right = a.shape[:-2], b.shape[:-2]
    batch = numpy.broadcast_shapes(left, right)
    return (a, b) if batch in (left, right) else (broadcast_to(a, batch + a.shape[-2:]), b)


def _linear(a, weight):
    """a @ weight.T, remembered so that an addition that follows can take it up as a bias."""
    result = affine(a, weight)
    result.linear = (a, weight)
    return result


def integer_product(a, b):
    """Sums of products, exact but slow."""
    # workaround: MXNet multiplies no matrices of integers
    if a.ndim == 1 or b.ndim == 1:
        raise Unsupported("MXNet multiplies no vectors of integers")
    left = reshape(a, a.shape + (1,))
    right = reshape(b, b.shape[:-2] + (1,) + b.shape[-2:])
    return F._np_sum(F._npi_multiply(left, right), axis=-2)


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    require(a, MATRICES, "Gemm")
    if transA:
        a = F.transpose(a)
    weight = b if transB else b.stored if b.stored is not None else F.transpose(b)
    units = weight.shape[0]
    if alpha == 1 and beta == 1 and c is not None and c.shape in ((units,), (1, units)):
        return affine(a, weight, reshape(c, (units,)))
    product = scaled(affine(a, weight), alpha)
    return product if c is None else F._npi_add(product, scaled(c, beta))


# Convolutions.


def _split_pads(x, pads, value=0):
    """What MXNet can pad by itself, and x with the rest padded explicitly."""
    # workaround: MXNet's convolution and pooling pad the same on both sides only
    if all(before == after for before, after in pads):
        return x, tuple(before for before, _ in pads)
    return pad(x, [(0, 0)] * (x.ndim - len(pads)) + list(pads), value=value), (0,) * len(pads)


@in_float32
def Conv(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    require(x, ("float32", "float64"), "Conv")
    kernel = w.shape[2:]
    rank = len(kernel)
    if rank > 3:
        raise Unsupported("MXNet convolves in one to three dimensions, this has %d" % rank)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = spatial_pads(x.shape[2:], spans_of(kernel, dilations), strides, auto_pad, pads)
    x, symmetric = _split_pads(x, list(zip(before, after)))
    attributes = {
        "kernel": kernel,
        "stride": tuple(strides),
        "dilate": tuple(dilations),
        "pad": symmetric,
        "num_filter": w.shape[0],
        "num_group": group,
        "no_bias": b is None,
    }
    return F.Convolution(x, w, **attributes) if b is None else F.Convolution(x, w, b, **attributes)


@in_float32
def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None,
):  # fmt: skip
    """All of the transposed convolution, then cropped (or, by output_padding, grown) to what ONNX keeps of it."""
    # workaround: MXNet's Deconvolution pads the same on both sides only
    kernel = w.shape[2:]
    rank = len(kernel)
    require(x, ("float32", "float64") if rank < 3 else ("float32",), "ConvTranspose of %d dimensions" % rank)
    if rank > 3:
        raise Unsupported("MXNet convolves in one to three dimensions, this has %d" % rank)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extra = output_padding or [0] * rank
    whole = transposed_extents(x.shape[2:], spans_of(kernel, dilations), strides, extra)
    before, after = transposed_pads(x.shape[2:], whole, strides, auto_pad, pads, output_shape)
    y = F.Deconvolution(
        x,
        w,
        kernel=kernel,
        stride=tuple(strides),
        dilate=tuple(dilations),
        num_filter=w.shape[1] * group,
        num_group=group,
        no_bias=True,
    )
    y = pad(y, [(0, 0), (0, 0)] + [(0, max(0, more - last)) for more, last in zip(extra, after)])
    ends = [extent - last for extent, last in zip(whole, after)]
    y = take_slices(y, [slice(None)] * 2 + [slice(*kept) for kept in zip(before, ends)])
    return y if b is None else F._npi_add(y, _channels(b, y.ndim))


def _channels(value, rank):
    """A tensor of shape (C,) in the shape that broadcasts along axis 1."""
    return reshape(value, (1, value.shape[0]) + (1,) * (rank - 2))


# Pooling.


def _pooling_geometry(x, auto_pad, ceil_mode, dilations, kernel, pads, strides):
    """Strides, dilations, pads, the pads with what ceil_mode adds behind, and the output's extents."""
    rank, inputs = len(kernel), x.shape[2:]
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    spans = spans_of(kernel, dilations)
    before, after = spatial_pads(inputs, spans, strides, auto_pad, pads)
    extents = positions(inputs, spans, strides, before, after, ceil_mode)
    reach = reach_after(inputs, spans, strides, before, extents)
    return strides, dilations, list(zip(before, after)), list(zip(before, map(max, after, reach))), extents


def _views(x, kernel, strides, dilations, extents):
    """One strided slice of the padded data for each place in the kernel, in row-major order."""
    for place in itertools.product(*(range(window) for window in kernel)):
        starts = [p * dilation for p, dilation in zip(place, dilations)]
        ranges = [slice(s, s + (n - 1) * stride + 1, stride) for s, n, stride in zip(starts, extents, strides)]
        yield take_slices(x, [slice(None)] * 2 + ranges)


@in_float32
def MaxPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None
):
    strides, dilations, pads, grown, extents = _pooling_geometry(
        x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides
    )
    lowest = -numpy.inf if x.floating else numpy.iinfo(x.dtype).min

    def indices():
        return _max_places(x, kernel_shape, strides, dilations, grown, extents, storage_order, lowest)

    if x.dtype not in ("float32", "float64") or len(kernel_shape) > 3 or any(d != 1 for d in dilations):
        return _max_by_views(x, kernel_shape, strides, dilations, grown, extents, lowest), indices
    data, symmetric = _split_pads(x, grown, lowest)
    pooled = F.Pooling(data, kernel=tuple(kernel_shape), stride=tuple(strides), pad=symmetric, pool_type="max")
    return take_slices(pooled, [slice(None)] * 2 + [slice(0, n) for n in extents]), indices


def _max_by_views(x, kernel, strides, dilations, pads, extents, lowest):
    # workaround: MXNet's pooling knows neither dilations nor integers
    padded = pad(x, [(0, 0), (0, 0)] + list(pads), value=lowest)
    result = None
    for view in _views(padded, kernel, strides, dilations, extents):
        result = view if result is None else F._npi_maximum(result, view)
    return result


def _max_places(x, kernel, strides, dilations, pads, extents, storage_order, lowest):
    """Where the maxima stand in the flattened input."""
    # workaround: MXNet's pooling does not tell where the maxima stand
    order = "F" if storage_order else "C"
    spatial = x.shape[2:]
    inner = numpy.arange(int(numpy.prod(spatial))).reshape(spatial, order=order)
    outer = numpy.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2] + (1,) * len(spatial)) * inner.size
    widths = [(0, 0), (0, 0)] + list(pads)
    places = constant(numpy.pad(outer + inner, widths))
    padded = pad(x, widths, value=lowest)
    best = where = None
    for view, place in zip(
        _views(padded, kernel, strides, dilations, extents), _views(places, kernel, strides, dilations, extents)
    ):
        if best is None:
            best, where = view, place
        else:
            where = Where(F._npi_greater(view, best), place, where)
            best = F._npi_maximum(best, view)
    return where


@in_float32
def AveragePool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None
):
    require(x, ("float32", "float64"), "AveragePool")
    strides, dilations, pads, grown, extents = _pooling_geometry(
        x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides
    )
    plain = grown == pads and all(d == 1 for d in dilations) and len(kernel_shape) <= 3
    if plain and all(before == after for before, after in pads):
        return F.Pooling(
            x,
            kernel=tuple(kernel_shape),
            stride=tuple(strides),
            pad=tuple(before for before, _ in pads),
            pool_type="avg",
            count_include_pad=bool(count_include_pad),
        )
    counted = numpy.ones((1, 1) + x.shape[2:], x.dtype)
    if count_include_pad:
        counted = numpy.pad(counted, [(0, 0), (0, 0)] + list(pads), constant_values=1)
        rest = [(0, after - given) for (_, after), (_, given) in zip(grown, pads)]
        counted = numpy.pad(counted, [(0, 0), (0, 0)] + rest)
    else:
        counted = numpy.pad(counted, [(0, 0), (0, 0)] + list(grown))
    return _sum_by_views(x, counted, kernel_shape, strides, dilations, grown, extents)


def _sum_by_views(x, counted, kernel, strides, dilations, pads, extents):
    # workaround: MXNet's average knows neither pads that differ nor dilations nor ONNX's ceil_mode
    padded = pad(x, [(0, 0), (0, 0)] + list(pads))
    total = None
    for view in _views(padded, kernel, strides, dilations, extents):
        total = view if total is None else F.elemwise_add(total, view)
    counts = numpy.zeros((1, 1) + tuple(extents), counted.dtype)
    for place in itertools.product(*(range(window) for window in kernel)):
        starts = [p * dilation for p, dilation in zip(place, dilations)]
        ranges = [slice(s, s + (n - 1) * stride + 1, stride) for s, n, stride in zip(starts, extents, strides)]
        counts += counted[tuple([slice(None)] * 2 + ranges)]
    return F._npi_true_divide(total, constant(counts))


@in_float32
def LpPool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None):
    # workaround: MXNet's own Lp pooling knows neither pads that differ nor dilations
    require(x, FLOATS, "LpPool")
    strides, dilations, _, grown, extents = _pooling_geometry(
        x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides
    )
    powers = pad(F._npi_power_scalar(F._npi_abs(x), scalar=p), [(0, 0), (0, 0)] + list(grown))
    total = None
    for view in _views(powers, kernel_shape, strides, dilations, extents):
        total = view if total is None else F.elemwise_add(total, view)
    return F._npi_power_scalar(total, scalar=1 / p)


def _global(x, name):
    if x.dtype in ("float32", "float64") and 3 <= x.ndim <= 5:
        return F.Pooling(x, kernel=(1,) * (x.ndim - 2), global_pool=True, pool_type=name)
    reduce = F._npi_mean if name == "avg" else F._np_max
    return reduce(x, axis=tuple(range(2, x.ndim)), keepdims=True)


def GlobalAveragePool(x):
    require(x, FLOATS, "GlobalAveragePool")
    return _global(x, "avg")


def GlobalMaxPool(x):
    return _global(x, "max")


def GlobalLpPool(x, *, p=2):
    require(x, FLOATS, "GlobalLpPool")
    total = F._np_sum(F._npi_power_scalar(F._npi_abs(x), scalar=p), axis=tuple(range(2, x.ndim)), keepdims=True)
    return F._npi_power_scalar(total, scalar=1 / p)


# Normalizations.


def BatchNormalization(x, scale, bias, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    """In training BatchNorm updates the running statistics by itself where it may (see adapter.py): then the
    statistics to be are the statistics that are. Else, and in other types than float32, it is composed."""
    kept = [value if value.stored is None else value.stored for value in (mean, variance)]
    attributes = {"eps": epsilon, "momentum": momentum, "fix_gamma": False, "axis": 1}
    if training_mode and mean.running:
        return F.BatchNorm(x, scale, bias, *kept, **attributes), mean, variance
    # workaround: BatchNorm has no gradient for the statistics that it is given
    constant_statistics = mean.array is not None and variance.array is not None
    if not training_mode and constant_statistics and _all_float32(x, scale, bias, mean, variance):
        return F.BatchNorm(x, scale, bias, *kept, use_global_stats=True, **attributes)
    require(x, FLOATS, "BatchNormalization")
    if not training_mode:
        return _normalize(x, _channels(mean, x.ndim), _channels(variance, x.ndim), epsilon, scale, bias)
    # workaround: BatchNorm hands no new statistics out, it only writes them over the old ones, in its backward pass
    axes = tuple(i for i in range(x.ndim) if i != 1)
    batch_mean = F._npi_mean(x, axis=axes, keepdims=True)
    batch_variance = F._npi_mean(squared(F._npi_subtract(x, batch_mean)), axis=axes, keepdims=True)
    y = _normalize(x, batch_mean, batch_variance, epsilon, scale, bias)
    return y, _blend(mean, batch_mean, momentum), _blend(variance, batch_variance, momentum)


def _all_float32(*values):
    return all(value.dtype == "float32" for value in values)


def _normalize(x, mean, variance, epsilon, scale=None, bias=None):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; scale and bias of shape (C,), along axis 1."""
    deviation = F._npi_sqrt(F._npi_add_scalar(variance, scalar=epsilon))
    y = cast(F._npi_true_divide(F._npi_subtract(x, mean), deviation), x.dtype)
    if scale is None:
        return y
    y = F._npi_multiply(y, _channels(cast(scale, x.dtype), x.ndim))
    return F._npi_add(y, _channels(cast(bias, x.dtype), x.ndim))


def _blend(running, batch, momentum):
    new = scaled(reshape(batch, running.shape), 1 - momentum)
    return F._npi_add(scaled(running, momentum), cast(new, running.dtype))


def InstanceNormalization(x, scale, bias, *, epsilon=1e-5):
    require(x, FLOATS, "InstanceNormalization")
    return _normalize(x, *_moments(x, range(2, x.ndim)), epsilon, scale, bias)


def _moments(x, axes):
    axes = tuple(axes)
    mean = F._npi_mean(x, axis=axes, keepdims=True)
    return mean, F._npi_mean(squared(F._npi_subtract(x, mean)), axis=axes, keepdims=True)


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type="float32"):
    # workaround: MXNet's GroupNorm has a scale for each group, ONNX's for each channel
    require(x, FLOATS, "GroupNormalization")
    grouped = reshape(x, (x.shape[0], num_groups, x.size // (x.shape[0] * num_groups)))
    y = reshape(_normalize(grouped, *_moments(grouped, (2,)), epsilon), x.shape)
    return F._npi_add(F._npi_multiply(y, _channels(scale, x.ndim)), _channels(bias, x.ndim))


def LayerNormalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    require(x, FLOATS, "LayerNormalization")
    axis %= x.ndim
    normalized = x.shape[axis:]
    count = int(numpy.prod(normalized))
    scale = reshape(broadcast_to(scale, normalized), (count,))
    bias = full((count,), 0, x.dtype) if bias is None else reshape(broadcast_to(bias, normalized), (count,))
    flat = reshape(x, x.shape[:axis] + (count,))
    y = F.LayerNorm(flat, scale, bias, axis=-1, eps=epsilon)
    mean, variance = _moments(flat, (flat.ndim - 1,))
    inverse = F._npi_reciprocal(F._npi_sqrt(F._npi_add_scalar(variance, scalar=epsilon)))
    shape = x.shape[:axis] + (1,) * len(normalized)
    return reshape(y, x.shape), reshape(mean, shape), reshape(inverse, shape)


def RMSNormalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    require(x, FLOATS, "RMSNormalization")
    axes = tuple(range(axis % x.ndim, x.ndim))
    squares = F._npi_mean(squared(x), axis=axes, keepdims=True)
    deviation = F._npi_sqrt(F._npi_add_scalar(squares, scalar=epsilon))
    return F._npi_multiply(F._npi_true_divide(x, deviation), scale)


@in_float32
def LRN(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    require(x, ("float32", "float64"), "LRN")
    if size % 2 and x.ndim == 4 and x.dtype == "float32" and not F.without_cudnn:
        return F.LRN(x, alpha=alpha, beta=beta, knorm=bias, nsize=size)
    widths = [(0, 0)] * x.ndim
    widths[1] = ((size - 1) // 2, size // 2)
    squares = pad(squared(x), widths)
    views = [take_slices(squares, [slice(None), slice(i, i + x.shape[1])]) for i in range(size)]
    total = views[0]
    for view in views[1:]:
        total = F.elemwise_add(total, view)
    base = F._npi_add_scalar(scaled(total, alpha / size), scalar=bias)
    return F._npi_true_divide(x, F._npi_power_scalar(base, scalar=beta))


def LpNormalization(x, *, axis=-1, p=2):
    require(x, FLOATS, "LpNormalization")
    if p == 1:
        norm = F._np_sum(F._npi_abs(x), axis=axis, keepdims=True)
    else:
        norm = F._npi_sqrt(F._np_sum(squared(x), axis=axis, keepdims=True))
    none = F._npi_equal(norm, full((), 0, x.dtype))
    return Where(broadcast_to(none, x.shape), full((), 0, x.dtype), F._npi_true_divide(x, norm))


def MeanVarianceNormalization(x, *, axes=(0, 2, 3)):
    """The function's own epsilon, 1e-9, is added to the standard deviation."""
    mean, variance = _moments(x, [axis % x.ndim for axis in axes])
    deviation = F._npi_add_scalar(F._npi_sqrt(variance), scalar=1e-9)
    return F._npi_true_divide(F._npi_subtract(x, mean), deviation)


def Softmax(x, *, axis=-1):
    """Of nothing but -inf it is nan, and so would be its gradient, though such rows are replaced where they matter."""
    if not x.masked:
        return F.softmax(x, axis=axis)
    most = F._np_max(F.BlockGrad(x), axis=axis, keepdims=True)
    empty = broadcast_to(F._npi_isneginf(most), x.shape)
    y = F.softmax(Where(empty, full((), 0, x.dtype), x), axis=axis)
    return Where(empty, full((), numpy.nan, x.dtype), y)


def LogSoftmax(x, *, axis=-1):
    return F.log_softmax(x, axis=axis)


def Hardmax(x, *, axis=-1):
    axis %= x.ndim
    places = constant(numpy.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)]))
    return cast(F._npi_equal(F._npi_argmax(x, axis=axis, keepdims=True), places), x.dtype)


def Dropout(x, *, ratio=0.5, training_mode=False, seed=None):
    """In training one of MXNet's own random masks, which is not ONNX Runtime's or anyone's."""
    if not training_mode or not ratio:
        return F._copy(x), full(x.shape, 1, "bool")
    if seed is not None:
        raise Unsupported("seed=%s: MXNet's generator gives other numbers than the one that seed was meant for" % seed)
    return F.Dropout(x, p=ratio, mode="always")


# Activations.


def Relu(x):
    if x.dtype == "float32" and not F.without_cudnn:
        return F.Activation(x, act_type="relu")
    return F._npi_maximum(x, full((), 0, x.dtype)) if not x.floating else F.relu(x)


def Sigmoid(x):
    return F.Activation(x, act_type="sigmoid") if x.dtype == "float32" and not F.without_cudnn else F.sigmoid(x)


def Tanh(x):
    return F.Activation(x, act_type="tanh") if x.dtype == "float32" and not F.without_cudnn else F._npi_tanh(x)


def Gelu(x, *, approximate="none"):
    if approximate == "none" and x.dtype == "float32":
        return F.LeakyReLU(x, act_type="gelu")
    # workaround: LeakyReLU computes float64 in float32
    if approximate == "none":
        return F.elemwise_mul(scaled(x, 0.5), F._npi_add_scalar(F.erf(scaled(x, 0.5**0.5)), scalar=1))
    cubic = F.elemwise_add(x, scaled(F.elemwise_mul(x, squared(x)), 0.044715))
    gate = F._npi_add_scalar(Tanh(scaled(cubic, (2 / numpy.pi) ** 0.5)), scalar=1)
    return scaled(F.elemwise_mul(x, gate), 0.5)


def LeakyRelu(x, *, alpha=0.01):
    if x.dtype == "float32":
        return F.LeakyReLU(x, act_type="leaky", slope=alpha)
    # workaround: LeakyReLU holds its slope in float32, too coarse for float64
    return _where_negative(x, scaled(x, alpha), x)


def PRelu(x, slope):
    zero = full((), 0, x.dtype)
    return Where(F._npi_less(x, zero), F._npi_multiply(x, slope), x)


def Elu(x, *, alpha=1.0):
    # workaround: in float32 LeakyReLU's elu is as inexact near 0 as exp(x) - 1 is
    return _where_negative(x, scaled(F._npi_expm1(x), alpha), x)


def Celu(x, *, alpha=1.0):
    return _where_negative(x, scaled(F._npi_expm1(scaled(x, 1 / alpha)), alpha), x)


def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    # workaround: LeakyReLU's selu has a fixed alpha and gamma
    return scaled(_where_negative(x, scaled(F._npi_expm1(x), alpha), x), gamma)


def _where_negative(x, negative, other):
    return Where(F._npi_less(x, full((), 0, x.dtype)), negative, other)


def Softplus(x):
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|)), with a gradient of 1/2 at 0."""
    zero = full((), 0, x.dtype)
    opposite = F._npi_negative(x)
    tail = F._npi_log1p(F._npi_exp(_where_negative(opposite, opposite, x)))
    return F.elemwise_add(_where_negative(opposite, x, zero), tail)


def Softsign(x):
    return F.softsign(x)


def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return F.clip(F._npi_add_scalar(scaled(x, alpha), scalar=beta), a_min=0, a_max=1)


def HardSwish(x):
    return F.elemwise_mul(x, HardSigmoid(x, alpha=1 / 6, beta=0.5))


def Mish(x):
    return F.elemwise_mul(x, F._npi_tanh(Softplus(x)))


def Swish(x, *, alpha=1.0):
    return F.elemwise_mul(x, F.sigmoid(scaled(x, alpha)))


def ThresholdedRelu(x, *, alpha=1.0):
    above = F._npi_greater(x, full((), alpha, x.dtype))
    return Where(above, x, full((), 0, x.dtype))


def Shrink(x, *, bias=0.0, lambd=0.5):
    low = F._npi_less(x, full((), -lambd, x.dtype))
    high = F._npi_greater(x, full((), lambd, x.dtype))
    zero = full((), 0, x.dtype)
    shrunk = Where(high, F._npi_subtract_scalar(x, scalar=bias), zero)
    return Where(low, F._npi_add_scalar(x, scalar=bias), shrunk)
