"""ONNX's operators as torch calls: layers, arithmetic, reductions and shapes, one function each.

Each takes torch tensors (or tracing `Value`s) and returns them; parameters and defaults are ONNX's. Shapes are
read, values never, so that a function is traced once into straight-line code. The neighbours (image.py,
recurrent.py, attention.py, ...) hold the operators of their subjects.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F

from ..kit.interface import Unsupported
from ..kit.windows import positions, reach_after, spans_of, spatial_pads, transposed_extents, transposed_pads
from .dtypes import cast, torch_type
from .tracing import is_compiled
from .unsigned import UNSIGNED, widened

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


def _pad(x, before, after, value=0.0):
    """Pad the last axes; a negative padding crops."""
    if not any(before) and not any(after):
        return x
    return F.pad(x, [p for pair in zip(reversed(before), reversed(after)) for p in pair], value=value)


def Conv(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    rank = x.ndim - 2
    convolve = _by_rank(_CONV, x)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    spans = spans_of(w.shape[2:], dilations)
    before, after = spatial_pads(x.shape[2:], spans, strides, auto_pad, pads)
    if before != after or min(before) < 0:
        x, before = _pad(x, before, after), [0] * rank
    return convolve(x, w, b, strides, before, dilations, group)


def ConvTranspose(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
    output_shape=None, pads=None, strides=None,
):  # fmt: skip
    rank = x.ndim - 2
    convolve = _by_rank(_CONV_TRANSPOSE, x)
    strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    whole = transposed_extents(x.shape[2:], spans_of(w.shape[2:], dilations), strides, extra)
    before, after = transposed_pads(x.shape[2:], whole, strides, auto_pad, pads, output_shape)
    # torch takes `before` off at both ends, and its output_padding says what is too much at the second.
    spare = [first - last + more for first, last, more in zip(before, after, extra)]
    if min(before) >= 0 and all(0 <= q < max(s, d) for q, s, d in zip(spare, strides, dilations)):
        return convolve(x, w, b, strides, before, spare, group, dilations)
    y = convolve(x, w, None, strides, 0, 0, group, dilations)
    y = _pad(y, [-p for p in before], [more - last for last, more in zip(after, extra)])
    return y if b is None else y + b.reshape([-1] + [1] * rank)


def _window(x, kernel, strides, dilations, auto_pad, pads, ceil_mode):
    """Strides, dilations, padding before and after, and the padding after that needs no ceil_mode.

    With that last one, rounding down makes as many windows as ONNX counts.
    """
    rank, extents = x.ndim - 2, x.shape[2:]
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    spans = spans_of(kernel, dilations)
    before, after = spatial_pads(extents, spans, strides, auto_pad, pads)
    counts = positions(extents, spans, strides, before, after, ceil_mode)
    return strides, dilations, before, after, reach_after(extents, spans, strides, before, counts)


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
    # workaround: torch's average pools know neither dilations nor other paddings at the two ends.
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
    # workaround: torch's own running variance is the unbiased one; ONNX's is the population's.
    axes = [0] + _spatial_axes(x)
    batch_var, batch_mean = torch.var_mean(_like(x, mean), axes, correction=0)
    y = torch.batch_norm(x, scale, b, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)
    return y, mean * momentum + batch_mean * (1 - momentum), var * momentum + batch_var * (1 - momentum)


def InstanceNormalization(x, scale, b, *, epsilon=1e-5):
    return torch.instance_norm(x, scale, b, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type=1):
    _single_precision(stash_type)
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def _single_precision(stash_type):
    if stash_type not in (1, "float32"):
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


# workaround: torch's local_response_norm puts the longer half of an even window before the channel, ONNX behind it.
def LRN(x, *, size, alpha=0.0001, beta=0.75, bias=1.0):
    squares = _pad((x * x).reshape(x.shape[0], 1, x.shape[1], -1), [(size - 1) // 2, 0], [size // 2, 0])
    sums = F.avg_pool2d(squares, [size, 1], 1) * alpha + bias
    return x / sums.pow(beta).reshape(x.shape)


def LpNormalization(x, *, axis=-1, p=2):
    norm = torch.linalg.vector_norm(x, p, axis, True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


# Activations


def Relu(x):
    return torch.relu(x)


def LeakyRelu(x, *, alpha=0.01):
    return F.leaky_relu(x, alpha)


# workaround: torch's prelu takes a slope for each channel; ONNX's broadcasts from the last axis on.
def PRelu(x, slope):
    return torch.where(x < 0, slope * x, x)


def Elu(x, *, alpha=1.0):
    return F.elu(x, alpha)


# workaround: torch's selu has alpha and gamma built in.
def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return torch.where(x > 0, x, alpha * torch.expm1(x)) * gamma


def Celu(x, *, alpha=1.0):
    return F.celu(x, alpha)


def Gelu(x, *, approximate="none"):
    return F.gelu(x, approximate=approximate)


def Sigmoid(x):
    return torch.sigmoid(x)


# workaround: torch's hardsigmoid has its slope built in, and it is not ONNX's.
def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return (x * alpha + beta).clamp(0, 1)


def HardSwish(x):
    return F.hardswish(x)


def Swish(x, *, alpha=1.0):
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(x * alpha)


def Mish(x):
    return F.mish(x)


# workaround: torch's softplus is the identity from 20 on.
def Softplus(x):
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


def Softsign(x):
    return F.softsign(x)


def ThresholdedRelu(x, *, alpha=1.0):
    return torch.where(x > alpha, x, torch.zeros((), dtype=x.dtype))


def Shrink(x, *, bias=0.0, lambd=0.5):
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros((), dtype=x.dtype)))


def Softmax(x, *, axis=-1):
    if x.dtype == torch.float16 and x.device.type == "cpu":
        return _softmax_in_steps(x, axis)
    return torch.softmax(x, axis)


def _softmax_in_steps(x, axis):
    # workaround: on a CPU torch rounds float16 once, at the end; ONNX's function body rounds after each step.
    powers = torch.exp(x - x.amax(axis, True))
    return powers / powers.sum(axis, True)


def LogSoftmax(x, *, axis=-1):
    return torch.log_softmax(x, axis)


def Hardmax(x, *, axis=-1):
    first = x.argmax(axis, True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


def Dropout(x, ratio=0.5, training_mode=False, *, seed=None):
    if not training_mode or ratio == 0:
        return x, torch.ones(x.shape, dtype=torch.bool)
    if seed is not None:
        raise Unsupported("torch's dropout has no seed of its own")
    return torch.native_dropout(x, ratio, True)


# Losses


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    loss = F.cross_entropy(scores, _long(labels), weights, None, _ignored(ignore_index), None, reduction)
    return loss, torch.log_softmax(scores, 1)


def NegativeLogLikelihoodLoss(x, target, weight=None, *, ignore_index=None, reduction="mean"):
    return F.nll_loss(x, _long(target), weight, None, _ignored(ignore_index), None, reduction)


# workaround: torch's losses take labels of int64 (or uint8) only.
def _long(indices):
    return indices if indices.dtype == torch.int64 else indices.to(torch.int64)


# workaround: torch's losses always ignore one label; this one is no label of a valid model.
def _ignored(ignore_index):
    return -(2**31) if ignore_index is None else ignore_index


# Arithmetic


@widened("sums")
def Add(a, b):
    return a + b


@widened("sums")
def Sub(a, b):
    return a - b


@widened("sums")
def Mul(a, b):
    return a * b


@widened("nothing")
def Div(a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@widened("nothing")
def Mod(a, b, *, fmod=0):
    if fmod:
        return torch.fmod(a, b)
    if a.is_floating_point() and is_compiled(a, b):
        # workaround: the compiler's remainder is wrong by infinity, and where the quotient is large.
        rest = torch.fmod(a, b)
        return torch.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
    return torch.remainder(a, b)


@widened("nothing")
def Pow(a, b):
    if isinstance(b, torch.Tensor) and b.numel() == 1 and b.ndim <= a.ndim and b.item() in (0.5, 2, 3):
        b = b.item()
        a = a if a.is_floating_point() or b != 0.5 else a.to(torch.float64)
    elif isinstance(b, torch.Tensor) and b.dtype in UNSIGNED and a.is_floating_point():
        b = b.to(a.dtype)
    return _like(torch.pow(a, b), a)


def _like(y, x):
    """y in x's element type."""
    return y if y.dtype == x.dtype else y.to(x.dtype)


def Sum(*tensors):
    return functools.reduce(torch.add, tensors)


def Mean(*tensors):
    return tensors[0] if len(tensors) == 1 else functools.reduce(torch.add, tensors) / len(tensors)


@widened("order")
def Min(*tensors):
    return functools.reduce(torch.minimum, tensors)


@widened("order")
def Max(*tensors):
    return functools.reduce(torch.maximum, tensors)


def Clip(x, min=None, max=None):
    if min is None and max is None:
        return x
    numbers = isinstance(min, (int, float)) and isinstance(max, (int, float))
    if numbers and min < max and x.is_floating_point():
        # workaround: the backward pass of torch's clamp is four kernels; that of hardtanh, which is the same, is one.
        return F.hardtanh(x, min, max)
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


@widened("order")
def Equal(a, b):
    return torch.eq(a, b)


@widened("order")
def Greater(a, b):
    return torch.gt(a, b)


@widened("order")
def GreaterOrEqual(a, b):
    return torch.ge(a, b)


@widened("order")
def Less(a, b):
    return torch.lt(a, b)


@widened("order")
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


@widened("sums")
def BitwiseAnd(a, b):
    return torch.bitwise_and(a, b)


@widened("sums")
def BitwiseOr(a, b):
    return torch.bitwise_or(a, b)


@widened("sums")
def BitwiseXor(a, b):
    return torch.bitwise_xor(a, b)


@widened("sums")
def BitwiseNot(x):
    return torch.bitwise_not(x)


def BitShift(a, b, *, direction):
    if a.dtype == torch.uint64 and direction == "RIGHT":
        return _right_unsigned(a, b)
    return _shift(a, b, direction=direction)


@widened("sums")
def _shift(a, b, *, direction):
    bits = 8 * a.dtype.itemsize
    inside = (b >= 0) & (b < bits)
    shifts = torch.where(inside, b, torch.zeros_like(b))
    if direction == "LEFT":
        return torch.where(inside, a << shifts, torch.zeros_like(a))
    return torch.where(inside, a >> shifts, torch.where(a < 0, -1, 0).to(a.dtype))


# workaround: torch shifts no uint64; int64's own shift copies the sign, and the bits that it brings in are cleared.
def _right_unsigned(a, b):
    a, b = a.view(torch.int64), b.view(torch.int64)
    inside = (b > 0) & (b < 64)
    shifts = torch.where(inside, b, torch.ones_like(b))
    y = torch.where(inside, (a >> shifts) & ~(torch.full_like(a, -1) << (64 - shifts)), torch.zeros_like(a))
    return torch.where(b == 0, a, y).view(torch.uint64)


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


def BitCast(x, *, to):
    return x.view(torch_type(to))


def Identity(x):
    return x
