"""ONNX's layers: matrix products, convolutions, pooling, normalization."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from ..kit.windows import positions, reach_after, spans_of, spatial_pads, transposed_extents, transposed_pads
from .elementwise import Abs, Max, Pow
from .graph import axis_of, call, calls, concat, constant, expand, fc, first_largest, reshape, scale, take, transpose
from .reductions import ReduceL1, ReduceL2, ReduceMax

# Matrices


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    rows = a.shape[1 if transA else 0]
    columns = b.shape[0 if transB else 1]
    plain = alpha == 1 and beta == 1 and not transA
    if plain and c is not None and c.size == columns and c.rank and c.shape[-1] == columns:
        return call("FC" if transB else "FCTransposed", a, b, reshape(c, (columns,)), shape=(rows, columns))
    product = scale(call("MatMul", a, b, shape=(rows, columns), trans_a=transA, trans_b=transB), alpha)
    if c is None:
        return product
    return call("Add", product, scale(c, beta))


def MatMul(a, b):
    if a.rank == 1 and b.rank == 1:
        return reshape(MatMul(reshape(a, (1, a.size)), reshape(b, (b.size, 1))), ())
    if a.rank == 1:
        product = MatMul(reshape(a, (1, a.size)), b)
        return reshape(product, product.shape[:-2] + product.shape[-1:])
    if b.rank == 1:
        product = MatMul(a, reshape(b, (b.size, 1)))
        return reshape(product, product.shape[:-1])
    if b.rank == 2 and a.size and (b.held is not None or b.array is not None):
        return _product(a, b.held or constant(b, b.array.T))
    batch = numpy.broadcast(numpy.broadcast_to(0, a.shape[:-2]), numpy.broadcast_to(0, b.shape[:-2])).shape
    shape = batch + (a.shape[-2], b.shape[-1])
    if a.rank == 2 and b.rank == 2:
        return call("MatMul", a, b, shape=shape)
    if a.shape[:-2] == b.shape[:-2]:
        (a, trans_a), (b, trans_b) = _straight(a), _straight(b)
        return call("BatchMatMul", a, b, shape=shape, trans_a=trans_a, trans_b=trans_b)
    if not a.graph.training:
        return call("BatchMatMul", a, b, shape=shape, broadcast=1)
    if b.rank == 2:
        # workaround: BatchMatMul has no gradient where it broadcasts, MatMul a wrong one beyond two axes
        bias = constant(a, numpy.zeros(b.shape[1]))
        return call("FCTransposed", a, b, bias, shape=shape, axis=a.rank - 1)
    # workaround: BatchMatMul has no gradient where it broadcasts
    return call("BatchMatMul", expand(a, batch + a.shape[-2:]), expand(b, batch + b.shape[-2:]), shape=shape)


def _product(a, weight):
    """a @ weight.T, with room for the bias that an Add may bring."""
    shape = a.shape[:-1] + weight.shape[:1]
    x = reshape(a, (a.size // a.shape[-1], a.shape[-1]))
    result = reshape(fc(x, weight, constant(a, numpy.zeros(weight.shape[0]))), shape)
    result.product = (x, weight)
    return result


def _straight(x):
    """An operand of a BatchMatMul, and 1 if it is to be turned there: cheaper than to turn it before."""
    if x.turned is None:
        return x, 0
    source, perm = x.turned
    perm = perm[:-2] + [perm[-1], perm[-2]]
    # where the last axis stays the last, whole rows move
    return (transpose(source, perm), 1) if perm[-1] == x.rank - 1 else (x, 0)


# Convolution and pooling


def _windows(x, kernel, strides, pads, dilations, auto_pad):
    """Strides, dilations, and padding before and after, of each spatial axis."""
    rank = x.rank - 2
    strides = list(strides) if strides is not None else [1] * rank
    dilations = list(dilations) if dilations is not None else [1] * rank
    before, after = spatial_pads(x.shape[2:], spans_of(kernel, dilations), strides, auto_pad, pads)
    pads = before + after
    if min(pads, default=0) < 0:
        raise Unsupported("Caffe2 does not crop by negative pads")
    return strides, dilations, pads


def _positions(x, kernel, strides, dilations, pads):
    """How many windows fit along each spatial axis."""
    rank = len(kernel)
    return positions(x.shape[2:], spans_of(kernel, dilations), strides, pads[:rank], pads[rank:])


def Conv(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    kernel = list(w.shape[2:])
    strides, dilations, pads = _windows(x, kernel, strides, pads, dilations, auto_pad)
    shape = [x.shape[0], w.shape[0]] + _positions(x, kernel, strides, dilations, pads)
    inputs = [x, w] if b is None else [x, w, b]
    return call("Conv", *inputs, shape=shape, kernels=kernel, strides=strides, dilations=dilations, pads=pads,
                group=group, order="NCHW")  # fmt: skip


def ConvTranspose(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
                  output_shape=None, pads=None, strides=None):  # fmt: skip
    rank = x.rank - 2
    kernel = list(w.shape[2:])
    strides = list(strides) if strides is not None else [1] * rank
    extra = list(output_padding) if output_padding is not None else [0] * rank
    if dilations is not None and any(dilation != 1 for dilation in dilations):
        raise Unsupported("Caffe2's ConvTranspose has no dilations")
    if rank != 2:
        if rank != 1:
            raise Unsupported(f"Caffe2's ConvTranspose has 2 spatial axes, not {rank}")
        return _conv_transpose_1d(x, w, b, auto_pad, group, kernel, extra, output_shape, pads, strides)
    whole = transposed_extents(x.shape[2:], kernel, strides, extra)
    before, after = transposed_pads(x.shape[2:], whole, strides, auto_pad, pads, output_shape)
    pads = before + after
    if min(pads) < 0 or any(e >= s for e, s in zip(extra, strides)):
        raise Unsupported("Caffe2's ConvTranspose has no negative pads, and no output_padding beyond the stride")
    kept = [extent - first - last for extent, first, last in zip(whole, before, after)]
    shape = [x.shape[0], w.shape[1] * group] + kept
    inputs = [x, w] if b is None else [x, w, b]
    return call("ConvTranspose", *inputs, shape=shape, kernels=kernel, strides=strides, pads=pads, adjs=extra,
                group=group, order="NCHW")  # fmt: skip


def _conv_transpose_1d(x, w, b, auto_pad, group, kernel, extra, output_shape, pads, strides):
    # workaround: Caffe2's ConvTranspose has exactly 2 spatial axes
    y = ConvTranspose(
        reshape(x, x.shape[:2] + (1,) + x.shape[2:]),
        reshape(w, w.shape[:2] + (1,) + w.shape[2:]),
        b,
        auto_pad=auto_pad,
        group=group,
        output_padding=[0, extra[0]],
        output_shape=None if output_shape is None else [1, output_shape[-1]],
        pads=None if pads is None else [0, pads[0], 0, pads[1]],
        strides=[1, strides[0]],
    )
    return reshape(y, y.shape[:2] + y.shape[3:])


def _pool(op, x, kernel, strides, pads, dilations, auto_pad, ceil_mode, **arguments):
    rank = len(kernel)
    kernel = list(kernel)
    strides, dilations, pads = _windows(x, kernel, strides, pads, dilations, auto_pad)
    if any(dilation != 1 for dilation in dilations):
        raise Unsupported(f"Caffe2's {op} has no dilations")
    if ceil_mode:
        # workaround: Caffe2's pooling has no ceil_mode
        extended = _ceil_pads(x, kernel, strides, pads)
        if arguments.get("count_include_pad") and extended != pads:
            raise Unsupported(f"Caffe2's {op} would count the positions that ceil_mode adds")
        pads = extended
    if any(pad >= kernel[i % rank] for i, pad in enumerate(pads)):
        raise Unsupported(f"Caffe2's {op} wants pads smaller than the kernel")
    shape = list(x.shape[:2]) + _positions(x, kernel, strides, dilations, pads)
    return call(op, x, shape=shape, kernels=kernel, strides=strides, pads=pads, order="NCHW", **arguments)


def _ceil_pads(x, spans, strides, pads):
    """Padding that lets as many windows fit as ONNX's ceil_mode has."""
    rank, extents = len(spans), x.shape[2:]
    before, after = pads[:rank], pads[rank:]
    counts = positions(extents, spans, strides, before, after, ceil_mode=1)
    return before + [max(pair) for pair in zip(after, reach_after(extents, spans, strides, before, counts))]


def AveragePool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None,
                strides=None):  # fmt: skip
    if dilations is None or all(dilation == 1 for dilation in dilations):
        return _pool("AveragePool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode,
                     count_include_pad=count_include_pad)  # fmt: skip
    # workaround: Caffe2's AveragePool has no dilations
    strides, dilations, pads = _windows(x, kernel_shape, strides, pads, dilations, auto_pad)
    grown = _ceil_pads(x, spans_of(kernel_shape, dilations), strides, pads) if ceil_mode else pads
    taken, places = _taken(x, kernel_shape, strides, dilations, grown, 0)
    counted = pads if count_include_pad else [0] * len(pads)
    counts = _all_between(places, [-first for first in counted[: x.rank - 2]], x.shape[2:], counted[x.rank - 2 :]).sum(
        1
    )
    total = call("ReduceSum", taken, shape=taken.shape[:-1], axes=[3], keepdims=0)
    mean = call("Mul", total, constant(x, 1 / counts))
    return reshape(mean, x.shape[:2] + tuple(_positions(x, kernel_shape, strides, dilations, grown)))


def LpPool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None):
    # workaround: Caffe2's LpPool neither pads nor dilates
    strides, dilations, pads = _windows(x, kernel_shape, strides, pads, dilations, auto_pad)
    pads = _ceil_pads(x, spans_of(kernel_shape, dilations), strides, pads) if ceil_mode else pads
    taken, _ = _taken(_power(Abs(x), p), kernel_shape, strides, dilations, pads, 0)
    norm = _power(call("ReduceSum", taken, shape=taken.shape[:-1], axes=[3], keepdims=0), 1 / p)
    return reshape(norm, x.shape[:2] + tuple(_positions(x, kernel_shape, strides, dilations, pads)))


def _power(x, exponent):
    return x if exponent == 1 else Pow(x, constant(x, exponent))


def MaxPool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0,
            strides=None):  # fmt: skip
    dilated = dilations is not None and any(dilation != 1 for dilation in dilations)
    if not dilated and not x.graph.training:
        return _pool("MaxPool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    kernel = list(kernel_shape)
    strides, dilations, pads = _windows(x, kernel, strides, pads, dilations, auto_pad)
    if ceil_mode:
        pads = _ceil_pads(x, spans_of(kernel, dilations), strides, pads)
    if not dilated and x.graph.pools_once(x.shape, pads):
        return _pool("MaxPool", x, kernel, strides, pads, None, "NOTSET", 0)
    return _max_of_windows(x, kernel, strides, dilations, pads)


def _max_of_windows(x, kernel, strides, dilations, pads):
    # workaround: Caffe2's MaxPool has no dilations, and its gradient goes to each of several equal elements in full
    taken, _ = _taken(x, kernel, strides, dilations, pads, -numpy.inf)
    return reshape(first_largest(taken), x.shape[:2] + tuple(_positions(x, kernel, strides, dilations, pads)))


def _taken(x, kernel, strides, dilations, pads, outside):
    """The elements in each window [N, C, windows, taps], and their places along each axis [axes, windows, taps].

    outside: what lies beyond the image.
    """
    counts, extents = _positions(x, kernel, strides, dilations, pads), x.shape[2:]
    windows = numpy.indices(counts).reshape(len(counts), -1, 1)
    taps = numpy.indices(kernel).reshape(len(kernel), 1, -1)
    stride, dilation, first = (numpy.reshape(v[: len(kernel)], (-1, 1, 1)) for v in (strides, dilations, pads))
    places = windows * stride + taps * dilation - first
    inside = _all_between(places, [0] * len(extents), extents, [0] * len(extents))
    size = int(numpy.prod(extents, dtype=int))
    index = numpy.ravel_multi_index(tuple(places), extents, mode="clip")
    flat = reshape(x, x.shape[:2] + (size,))
    if not inside.all():
        flat = concat([flat, constant(x, numpy.full(x.shape[:2] + (1,), outside))], 2)
    return take(flat, constant(x, numpy.where(inside, index, size), "int64"), 2), places


def _all_between(places, lowest, extents, more):
    """Which places lie from `lowest` up to the extent and `more` along every axis."""
    bounds = zip(places, lowest, extents, more)
    return numpy.all([(low <= along) & (along < extent + beyond) for along, low, extent, beyond in bounds], 0)


def _global_pool(op, x):
    return call(op, x, shape=x.shape[:2] + (1,) * (x.rank - 2), kernels=[0] * (x.rank - 2), global_pooling=1,
                order="NCHW")  # fmt: skip


def GlobalAveragePool(x):
    if x.graph.library:
        return _global_pool("AveragePool", x)
    # workaround: global pooling sums in an order that depends on where a channel lies in memory, so that equal channels
    # have averages that differ; a window as large as the image sums them all alike
    return call("AveragePool", x, shape=x.shape[:2] + (1,) * (x.rank - 2), kernels=list(x.shape[2:]), order="NCHW")


def GlobalMaxPool(x):
    if x.graph.training:
        # workaround: the gradient of Caffe2's MaxPool goes to each of several equal elements in full
        return ReduceMax(x, axes=range(2, x.rank))
    return _global_pool("MaxPool", x)


# Normalization


def BatchNormalization(x, gamma, beta, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if x.rank < 2:
        raise Unsupported("Caffe2's SpatialBN wants at least 2 axes")
    if not training_mode:
        return call("SpatialBN", x, gamma, beta, mean, variance, shape=x.shape, is_test=1, epsilon=float(epsilon),
                    order="NCHW")  # fmt: skip
    count = x.size // x.shape[1]
    if count < 2:
        raise Unsupported("Caffe2's SpatialBN needs two values of each channel to train")
    unbiased = count / (count - 1)
    graph = x.graph
    in_place = mean.blob in graph.updated and variance.blob in graph.updated
    if in_place:
        # workaround: SpatialBN keeps the unbiased variance; kept at n/(n-1) times its size, it is ONNX's
        graph.updated[variance.blob] = unbiased
    else:
        mean, variance = call("Copy", mean), scale(variance, unbiased)
    image = reshape(x, x.shape + (1,)) if x.rank == 2 else x
    y, *saved = (graph.blob(what) for what in ("SpatialBN", "batch_mean", "batch_deviation"))
    inputs, outputs = [image, gamma, beta, mean, variance], [y, mean.blob, variance.blob] + saved
    graph.add("SpatialBN", inputs, outputs, is_test=0, epsilon=float(epsilon), momentum=float(momentum), order="NCHW")
    result = type(x)(graph, y, image.shape, x.dtype)
    return reshape(result, x.shape), mean, variance if in_place else scale(variance, 1 / unbiased)


def GroupNormalization(x, gamma, beta, *, num_groups, epsilon=1e-5, stash_type="float32"):
    shape = x.shape
    statistics = ((shape[0], num_groups), x.dtype)
    return calls("GroupNorm", [x, gamma, beta], [(shape, x.dtype), statistics, statistics], group=num_groups,
                 epsilon=float(epsilon), order="NCHW")[0]  # fmt: skip


def InstanceNormalization(x, gamma, beta, *, epsilon=1e-5):
    return call("InstanceNorm", x, gamma, beta, shape=x.shape, epsilon=float(epsilon), order="NCHW")


def LayerNormalization(x, gamma, beta=None, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    axis = axis_of(axis, x.rank)
    rows, count = x.shape[:axis], x.shape[axis:]
    if axis == 0:
        results = LayerNormalization(reshape(x, (1,) + x.shape), gamma, beta, axis=1, epsilon=epsilon)
        return tuple(reshape(result, result.shape[1:]) for result in results)
    fused = gamma.shape == count and (beta is None or beta.shape == count)
    inputs = [x]
    if fused:
        inputs = [x, gamma, constant(x, numpy.zeros(count)) if beta is None else beta]
    statistics = (rows + (1,), x.dtype)
    y, mean, deviation = calls("LayerNorm", inputs, [(x.shape, x.dtype), statistics, statistics], axis=axis,
                               epsilon=float(epsilon), elementwise_affine=fused)  # fmt: skip
    if not fused:
        y = call("Mul", y, gamma)
        y = y if beta is None else call("Add", y, beta)
    kept = rows + (1,) * len(count)
    return y, reshape(mean, kept), call("Reciprocal", reshape(deviation, kept))


def LpNormalization(x, *, axis=-1, p=2):
    axis = axis_of(axis, x.rank)
    norm = (ReduceL1 if p == 1 else ReduceL2)(x, axes=[axis])
    # ONNX leaves a vector of zeros as it is
    return call("Div", x, Max(norm, constant(x, numpy.finfo(x.dtype).tiny)))


def LRN(x, *, size, alpha=0.0001, beta=0.75, bias=1.0):
    if size % 2 == 0:
        raise Unsupported("Caffe2's LRN wants an odd size")
    return calls("LRN", [x], [(x.shape, x.dtype), (x.shape, x.dtype)], size=size, alpha=float(alpha),
                 beta=float(beta), bias=float(bias), order="NCHW")[0]  # fmt: skip
