"""ONNX's operators as torch calls: layers, arithmetic, reductions and shapes, one function each.

Each takes torch tensors (or tracing `Value`s) and returns them; parameters and defaults are ONNX's. Shapes are
read, values never, so that a function is traced once into straight-line code. The neighbours (image.py,
recurrent.py, attention.py, ...) hold the operators of their subjects.
"""

from __future__ import annotations

import functools
import math

import numpy
import torch
import torch.nn.functional as F

from ..kit.interface import Unsupported
from .dtypes import cast, torch_type

# Convolutions and pools

_CONV = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_CONV_TRANSPOSE = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}
_MAX_POOL = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}
_MAX_POOL_INDICES = {1: F.max_pool1d_with_indices, 2: F.max_pool2d_with_indices, 3: F.max_pool3d_with_indices}
_AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _by_rank(table, x):
    """The table's function for the number of x's spatial axes."""
    if x.ndim - 2 not in table:
        raise Unsupported(f"torch has it for 1 to 3 spatial axes, not for {x.ndim - 2}")
    return table[x.ndim - 2]


def _pads(x, kernel, strides, dilations, auto_pad, pads):
    """Padding before and after each spatial axis."""
    rank = x.ndim - 2
    if auto_pad == "VALID" or (auto_pad == "NOTSET" and pads is None):
        return [0] * rank, [0] * rank
    if auto_pad == "NOTSET":
        return list(pads[:rank]), list(pads[rank:])
    small, large = [], []
    for size, k, stride, dilation in zip(x.shape[2:], kernel, strides, dilations):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        small.append(total // 2)
        large.append(total - total // 2)
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def _pad(x, before, after, value=0.0):
    """Pad the last axes; a negative padding crops."""
    if not any(before) and not any(after):
        return x
    return F.pad(x, [p for pair in zip(reversed(before), reversed(after)) for p in pair], value=value)


def Conv(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    rank = x.ndim - 2
    convolve = _by_rank(_CONV, x)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = _pads(x, w.shape[2:], strides, dilations, auto_pad, pads)
    if before != after or min(before) < 0:
        x, before = _pad(x, before, after), [0] * rank
    return convolve(x, w, b, strides, before, dilations, group)


def _transposed_pads(x, spans, strides, extra, auto_pad, pads, output_shape):
    """What ConvTranspose takes off before and after each spatial axis."""
    rank = x.ndim - 2
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [size * stride for size, stride in zip(x.shape[2:], strides)]
    if output_shape is None:
        return _pads(x, spans, strides, spans, "VALID" if auto_pad == "VALID" else "NOTSET", pads)
    totals = [
        stride * (size - 1) + more + span - wanted
        for size, stride, more, span, wanted in zip(x.shape[2:], strides, extra, spans, output_shape[-rank:])
    ]
    halves = [total // 2 for total in totals]
    rests = [total - half for total, half in zip(totals, halves)]
    return (halves, rests) if auto_pad == "SAME_UPPER" else (rests, halves)


def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None,
):  # fmt: skip
    rank = x.ndim - 2
    convolve = _by_rank(_CONV_TRANSPOSE, x)
    strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations)]
    before, after = _transposed_pads(x, spans, strides, extra, auto_pad, pads, output_shape)
    # torch takes `before` off at both ends, and its output_padding says what is too much at the second.
    spare = [first - last + more for first, last, more in zip(before, after, extra)]
    if min(before) >= 0 and all(0 <= q < max(s, d) for q, s, d in zip(spare, strides, dilations)):
        return convolve(x, w, b, strides, before, spare, group, dilations)
    y = convolve(x, w, None, strides, 0, 0, group, dilations)
    y = _pad(y, [-p for p in before], [more - last for last, more in zip(after, extra)])
    return y if b is None else y + b.reshape([-1] + [1] * rank)


def _window(x, kernel, strides, dilations, auto_pad, pads, ceil_mode):
    """Strides, dilations, padding before and after, and the padding after that needs no ceil_mode.

    With that last one, rounding down makes as many windows as ONNX counts: with ceil_mode the last may reach
    past the padding, but none starts in the padding after.
    """
    rank = x.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    before, after = _pads(x, kernel, strides, dilations, auto_pad, pads)
    reach = []
    for size, k, stride, dilation, first, last in zip(x.shape[2:], kernel, strides, dilations, before, after):
        span = (k - 1) * dilation + 1
        room = size + first + last - span
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= size + first:
            count -= 1
        reach.append((count - 1) * stride + span - size - first)
    return strides, dilations, before, after, reach


def _as_torch_pads(before, after, kernel):
    return before == after and all(0 <= p <= k // 2 for p, k in zip(before, kernel))


def MaxPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0, strides=None
):
    if not x.is_floating_point():
        return _max_pool_integers(x, locals())
    pool, pool_indices = _by_rank(_MAX_POOL, x), _by_rank(_MAX_POOL_INDICES, x)
    strides, dilations, before, after, reach = _window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    size, offset, padding = x.shape[2:], [0] * len(kernel_shape), before
    if not _as_torch_pads(before, after, kernel_shape):
        x, offset, padding, ceil_mode = _pad(x, before, reach, -math.inf), before, [0] * len(before), 0
    y = pool(x, kernel_shape, strides, padding, dilations, bool(ceil_mode))
    _, indices = pool_indices(x, kernel_shape, strides, padding, dilations, bool(ceil_mode))
    return y, _indices_of_whole(indices, x.shape[2:], offset, size, storage_order)


def _max_pool_integers(x, keywords):
    # workaround: torch pools no integers; a double holds all of them that have at most 53 bits.
    if x.dtype in (torch.int64, torch.uint64):
        raise Unsupported("torch has no max pool of 64-bit integers")
    del keywords["x"]
    y, indices = MaxPool(x.to(torch.float64), **keywords)
    return y.to(x.dtype), indices


def _indices_of_whole(indices, padded, offset, size, storage_order):
    """torch counts positions within one padded image, ONNX within the whole tensor, without padding."""
    coordinates, rest = [], indices
    for extent, before in zip(reversed(padded), reversed(offset)):
        coordinates.insert(0, torch.remainder(rest, extent) - before)
        rest = torch.div(rest, extent, rounding_mode="floor")
    axes = range(len(size)) if storage_order == 0 else range(len(size) - 1, -1, -1)
    flat = functools.reduce(lambda position, axis: position * size[axis] + coordinates[axis], axes, 0)
    planes = torch.arange(indices.shape[0] * indices.shape[1]) * math.prod(size)
    return flat + planes.reshape(list(indices.shape[:2]) + [1] * len(size))


def _sum_pool(x, kernel, strides, dilations):
    """Sums over windows: a convolution of every plane with ones."""
    planes = x.reshape([-1, 1] + list(x.shape[2:]))
    sums = _by_rank(_CONV, x)(planes, torch.ones([1, 1] + list(kernel), dtype=x.dtype), None, strides, 0, dilations)
    return sums.reshape(list(x.shape[:2]) + list(sums.shape[2:]))


def AveragePool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None, strides=None
):
    strides, dilations, before, after, reach = _window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    if _as_torch_pads(before, after, kernel_shape) and max(dilations) == 1:
        pool = _by_rank(_AVERAGE_POOL, x)
        return pool(x, kernel_shape, strides, before, bool(ceil_mode), bool(count_include_pad))
    ones = torch.ones([1, 1] + list(x.shape[2:]), dtype=x.dtype)
    ones = _pad(ones, before, after, 1.0 if count_include_pad else 0.0)
    ones = _pad(ones, [0] * len(before), [wanted - given for wanted, given in zip(reach, after)])
    window = kernel_shape, strides, dilations
    return _sum_pool(_pad(x, before, reach), *window) / _sum_pool(ones, *window)


def LpPool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None):
    strides, dilations, before, _, reach = _window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    powers = _pad(x.abs().pow(p), before, reach)
    return _sum_pool(powers, kernel_shape, strides, dilations).pow(1.0 / p)


def _spatial_axes(x):
    return list(range(2, x.ndim))


def GlobalAveragePool(x):
    return x.mean(_spatial_axes(x), True)


def GlobalMaxPool(x):
    return x.amax(_spatial_axes(x), True)


def GlobalLpPool(x, *, p=2):
    return torch.linalg.vector_norm(x, p, _spatial_axes(x), True)


# Products


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    if transA:
        a = a.t()
    if transB and alpha == 1 and beta == 1 and c is not None and tuple(c.shape) == (b.shape[0],):
        return F.linear(a, b, c)
    if transB:
        b = b.t()
    if not a.is_floating_point():
        alpha, beta = _whole(alpha), _whole(beta)
    if c is None:
        y = torch.mm(a, b)
        return y if alpha == 1 else y * alpha
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


def _whole(factor):
    if factor != int(factor):
        raise Unsupported(f"the factor {factor} on integers")
    return int(factor)


def MatMul(a, b):
    return torch.matmul(a, b)


def Einsum(*tensors, equation):
    return torch.einsum(equation, *tensors)


def Det(x):
    return torch.linalg.det(x)


# Normalisation


def BatchNormalization(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if not training_mode:
        return F.batch_norm(x, mean, var, scale, b, False, 0.0, epsilon)
    axes = [0] + _spatial_axes(x)
    batch_var, batch_mean = torch.var_mean(x.to(mean.dtype), axes, correction=0)
    y = torch.batch_norm(x, scale, b, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)
    return y, mean * momentum + batch_mean * (1 - momentum), var * momentum + batch_var * (1 - momentum)


def InstanceNormalization(x, scale, b, *, epsilon=1e-5):
    return torch.instance_norm(x, scale, b, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type=1):
    _single_precision(stash_type)
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def _single_precision(stash_type):
    if stash_type != 1:
        raise Unsupported(f"stash_type {stash_type}: torch's norms compute in float32")


def _as_shape(x, shape):
    """x broadcast to the shape, where it is not of it."""
    return x if x is None or tuple(x.shape) == tuple(shape) else x.expand(shape)


def LayerNormalization(x, scale, b=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    _single_precision(stash_type)
    shape = list(x.shape[axis:])
    scale, b = _as_shape(scale, shape), _as_shape(b, shape)
    _, mean, inverse_deviation = torch.native_layer_norm(x, shape, scale, b, epsilon)
    return F.layer_norm(x, shape, scale, b, epsilon), mean, inverse_deviation


def RMSNormalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    _single_precision(stash_type)
    shape = list(x.shape[axis:])
    return F.rms_norm(x, shape, _as_shape(scale, shape), epsilon)


def LRN(x, *, size, alpha=0.0001, beta=0.75, bias=1.0):
    squares = _pad((x * x).reshape(x.shape[0], 1, x.shape[1], -1), [(size - 1) // 2, 0], [size // 2, 0])
    sums = F.avg_pool2d(squares, [size, 1], 1) * alpha + bias
    return x / sums.pow(beta).reshape(x.shape)


def LpNormalization(x, *, axis=-1, p=2):
    norm = torch.linalg.vector_norm(x, p, axis, True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def MeanVarianceNormalization(x, *, axes=(0, 2, 3)):
    var, mean = torch.var_mean(x, list(axes), correction=0, keepdim=True)
    return (x - mean) / (var.sqrt() + 1e-9)


# Activations


def Relu(x):
    return torch.relu(x)


def LeakyRelu(x, *, alpha=0.01):
    return F.leaky_relu(x, alpha)


def PRelu(x, slope):
    return torch.where(x < 0, slope * x, x)


def Elu(x, *, alpha=1.0):
    return F.elu(x, alpha)


def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return torch.where(x > 0, x, alpha * torch.expm1(x)) * gamma


def Celu(x, *, alpha=1.0):
    return F.celu(x, alpha)


def Gelu(x, *, approximate="none"):
    return F.gelu(x, approximate=approximate)


def Sigmoid(x):
    return torch.sigmoid(x)


def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return (x * alpha + beta).clamp(0, 1)


def HardSwish(x):
    return F.hardswish(x)


def Swish(x, *, alpha=1.0):
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(x * alpha)


def Mish(x):
    return F.mish(x)


def Softplus(x):
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


def Softsign(x):
    return F.softsign(x)


def ThresholdedRelu(x, *, alpha=1.0):
    return torch.where(x > alpha, x, torch.zeros((), dtype=x.dtype))


def Shrink(x, *, bias=0.0, lambd=0.5):
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros((), dtype=x.dtype)))


def Softmax(x, *, axis=-1):
    return torch.softmax(x, axis)


def LogSoftmax(x, *, axis=-1):
    return torch.log_softmax(x, axis)


def Hardmax(x, *, axis=-1):
    first = x.argmax(axis, True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


def Dropout(x, ratio=0.5, training_mode=False, *, seed=None):
    if not training_mode or ratio == 0:
        return x, torch.ones(x.shape, dtype=torch.bool)
    if seed:
        raise Unsupported("torch's dropout has no seed of its own")
    return torch.native_dropout(x, ratio, True)


# Losses


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    loss = F.cross_entropy(scores, _long(labels), weights, None, _ignored(ignore_index), None, reduction)
    return loss, torch.log_softmax(scores, 1)


def NegativeLogLikelihoodLoss(x, target, weight=None, *, ignore_index=None, reduction="mean"):
    return F.nll_loss(x, _long(target), weight, None, _ignored(ignore_index), None, reduction)


def _long(indices):
    return indices if indices.dtype == torch.int64 else indices.to(torch.int64)


def _ignored(ignore_index):
    """torch always ignores one label; this one is no label of a valid model."""
    return -(2**31) if ignore_index is None else ignore_index


# Arithmetic


def Add(a, b):
    return a + b


def Sub(a, b):
    return a - b


def Mul(a, b):
    return a * b


def Div(a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def Mod(a, b, *, fmod=0):
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


def Pow(a, b):
    if isinstance(b, torch.Tensor) and b.numel() == 1 and b.ndim <= a.ndim and b.item() in (0.5, 2, 3):
        b = b.item()
        a = a if a.is_floating_point() or b != 0.5 else a.to(torch.float64)
    return _like(torch.pow(a, b), a)


def _like(y, x):
    """y in x's element type."""
    return y if y.dtype == x.dtype else y.to(x.dtype)


def Sum(*tensors):
    return functools.reduce(torch.add, tensors)


def Mean(*tensors):
    return tensors[0] if len(tensors) == 1 else functools.reduce(torch.add, tensors) / len(tensors)


def Min(*tensors):
    return functools.reduce(torch.minimum, tensors)


def Max(*tensors):
    return functools.reduce(torch.maximum, tensors)


def Clip(x, min=None, max=None):
    if min is None and max is None:
        return x
    return torch.clamp(x, min, max)


def Sqrt(x):
    return torch.sqrt(x)


def Exp(x):
    return torch.exp(x)


def Log(x):
    return torch.log(x)


def Erf(x):
    return torch.erf(x)


def Neg(x):
    return torch.neg(x)


def Abs(x):
    return torch.abs(x)


def Sign(x):
    return torch.sign(x)


def Reciprocal(x):
    return torch.reciprocal(x)


def Ceil(x):
    return torch.ceil(x)


def Floor(x):
    return torch.floor(x)


def Round(x):
    return torch.round(x)


def Sin(x):
    return torch.sin(x)


def Cos(x):
    return torch.cos(x)


def Tan(x):
    return torch.tan(x)


def Asin(x):
    return torch.asin(x)


def Acos(x):
    return torch.acos(x)


def Atan(x):
    return torch.atan(x)


def Sinh(x):
    return torch.sinh(x)


def Cosh(x):
    return torch.cosh(x)


def Tanh(x):
    return torch.tanh(x)


def Asinh(x):
    return torch.asinh(x)


def Acosh(x):
    return torch.acosh(x)


def Atanh(x):
    return torch.atanh(x)


# Comparison and logic


def Equal(a, b):
    return torch.eq(a, b)


def Greater(a, b):
    return torch.gt(a, b)


def GreaterOrEqual(a, b):
    return torch.ge(a, b)


def Less(a, b):
    return torch.lt(a, b)


def LessOrEqual(a, b):
    return torch.le(a, b)


def And(a, b):
    return torch.logical_and(a, b)


def Or(a, b):
    return torch.logical_or(a, b)


def Xor(a, b):
    return torch.logical_xor(a, b)


def Not(x):
    return torch.logical_not(x)


def BitwiseAnd(a, b):
    return torch.bitwise_and(a, b)


def BitwiseOr(a, b):
    return torch.bitwise_or(a, b)


def BitwiseXor(a, b):
    return torch.bitwise_xor(a, b)


def BitwiseNot(x):
    return torch.bitwise_not(x)


def IsNaN(x):
    return torch.isnan(x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    if detect_negative and detect_positive:
        return torch.isinf(x)
    if detect_positive:
        return torch.isposinf(x)
    return torch.isneginf(x) if detect_negative else torch.zeros(x.shape, dtype=torch.bool)


def Where(condition, a, b):
    return torch.where(condition, a, b)


# Element types


def Cast(x, *, to, saturate=1, round_mode="up"):
    return cast(x, torch_type(to), bool(saturate))


def CastLike(x, like, *, saturate=1, round_mode="up"):
    return cast(x, like.dtype, bool(saturate))


def Identity(x):
    return x


# Shapes


def Reshape(x, *, shape, allowzero=0):
    return x.reshape([n if n or allowzero else x.shape[i] for i, n in enumerate(shape)])


def Flatten(x, *, axis=1):
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def Transpose(x, *, perm=None):
    return x.permute(list(perm) if perm is not None else list(range(x.ndim - 1, -1, -1)))


def Squeeze(x, *, axes=None):
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def Unsqueeze(x, *, axes):
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
        if step < 0:
            backwards.append(axis)
            places = places[::-1]
        index[axis] = slice(places.start, places.stop, places.step)
    y = x[tuple(index)]
    return y.flip(backwards) if backwards else y


def Expand(x, *, shape):
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))


def Tile(x, *, repeats):
    return x.repeat(list(repeats))


def Pad(x, *, pads, constant_value=0, axes=None, mode="constant"):
    axes = range(x.ndim) if axes is None else [a + x.ndim if a < 0 else a for a in axes]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    if mode == "constant":
        return _pad(x, before, after, constant_value or 0)
    if mode == "reflect" and _torch_reflects(x, before, after):
        return F.pad(x, [p for pair in zip(before[:1:-1], after[:1:-1]) for p in pair], "reflect")
    for axis, pair in enumerate(zip(before, after)):
        if any(pair):
            x = x.index_select(axis, torch.as_tensor(_pad_places(x.shape[axis], pair, mode)))
    return x


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
    return _pad(x, before, after, 0)


def Shape(x, *, start=0, end=None):
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


def Size(x):
    return torch.tensor(x.numel(), dtype=torch.int64)


def ConstantOfShape(*, input, value=None):
    value = numpy.zeros(1, numpy.float32) if value is None else value
    return torch.as_tensor(value.reshape(())).expand(list(input)).clone()


def Constant(*, value=None, value_float=None, value_floats=None, value_int=None, value_ints=None):
    if value is not None:
        return torch.as_tensor(value)
    if value_float is not None or value_floats is not None:
        return torch.tensor(value_floats if value_float is None else value_float, dtype=torch.float32)
    return torch.tensor(value_ints if value_int is None else value_int, dtype=torch.int64)


def EyeLike(x, *, dtype=None, k=0):
    kind = x.dtype if dtype is None else torch_type(dtype)
    rows, columns = torch.arange(x.shape[0]).unsqueeze(1), torch.arange(x.shape[1])
    return (columns - rows == k).to(kind)


def Range(start, limit, delta):
    start, limit, delta, dtype = start.item(), limit.item(), delta.item(), start.dtype
    count = max(math.ceil((limit - start) / delta), 0)
    return (torch.arange(count, dtype=torch.float64) * delta + start).to(dtype)


# Gathering and scattering


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


def _sum(x, axes, keepdims):
    return x.sum(axes, bool(keepdims), dtype=x.dtype) if axes else x


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _sum(x, _reduce(x, axes, noop_with_empty_axes), keepdims)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _reduce(x, axes, noop_with_empty_axes)
    return x.mean(axes, bool(keepdims)) if axes else x


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    for axis in sorted(_reduce(x, axes, noop_with_empty_axes), reverse=True):
        x = x.prod(axis, bool(keepdims), dtype=x.dtype)
    return x


def _extreme(x, axes, keepdims, function, identity):
    if not axes:
        return x
    if all(x.shape[axis] for axis in axes):
        return function(x, axes, bool(keepdims))
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


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    """torch.topk leaves open which of equal values it takes; ONNX says the first, as a stable sort does."""
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


def CumProd(x, axis, *, exclusive=0, reverse=0):
    axis = axis.item() if isinstance(axis, torch.Tensor) else axis
    return _scan(torch.cumprod, x, axis, exclusive, reverse, 1)
