"""One function per ONNX operator: each adds Caffe2 operators to the net and returns what they will compute."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .graph import (
    TYPES,
    axis_of,
    broadcast_shape,
    call,
    calls,
    cast,
    concat,
    constant,
    expand,
    move_axis,
    reshape,
    scale,
    slice_axis,
    split,
    take,
    transpose,
)

# Element-wise, one operand


def Abs(x):
    if x.dtype != "float32":
        return call("Mul", x, call("Sign", x))
    return call("Abs", x)


def Acos(x):
    return call("Acos", x)


def Acosh(x):
    above = call("Sub", x, constant(x, 1))
    return call("Log1p", call("Add", above, call("Sqrt", call("Add", call("Sqr", above), scale(above, 2)))))


def Asin(x):
    return call("Asin", x)


def Asinh(x):
    size, square = call("Abs", x), call("Sqr", x)
    root = call("Sqrt", call("Add", square, constant(x, 1)))
    part = call("Div", square, call("Add", root, constant(x, 1)))
    return call("Mul", call("Sign", x), call("Log1p", call("Add", size, part)))


def Atan(x):
    return call("Atan", x)


def Atanh(x):
    return scale(call("Log1p", call("Div", scale(x, 2), call("Sub", constant(x, 1), x))), 0.5)


def Cast(x, *, to, saturate=1, round_mode="up"):
    return cast(x, to)


def CastLike(x, like, *, saturate=1, round_mode="up"):
    return cast(x, like.dtype)


def Ceil(x):
    return call("Ceil", x)


def Celu(x, *, alpha=1.0):
    return scale(call("Elu", scale(x, 1 / alpha), alpha=1.0), alpha)


def Clip(x, *, min=None, max=None):
    if x.dtype == "float32":
        return call(
            "Clip", x, **{key: float(value) for key, value in (("min", min), ("max", max)) if value is not None}
        )
    # workaround: Caffe2's Clip takes float32 only
    if min is not None:
        x = Where(call("LT", x, constant(x, min), dtype="bool"), constant(x, min), x)
    if max is not None:
        x = Where(call("GT", x, constant(x, max), dtype="bool"), constant(x, max), x)
    return x


def Cos(x):
    return call("Cos", x)


def Cosh(x):
    return call("Cosh", x)


def Dropout(x, *, ratio=0.5, training_mode=False, seed=None):
    if not training_mode or ratio == 0:
        return x, constant(x, numpy.ones(x.shape), "bool")
    if not x.graph.training:
        raise Unsupported("what Caffe2's Dropout drops is not what ONNX's would drop")
    return calls("Dropout", [x], [(x.shape, x.dtype), (x.shape, "bool")], ratio=float(ratio), is_test=0)


def Elu(x, *, alpha=1.0):
    return call("Elu", x, alpha=float(alpha))


def Erf(x):
    return call("Erf", x)


def Exp(x):
    return call("Exp", x)


def Floor(x):
    return call("Floor", x)


def Gelu(x, *, approximate="none"):
    return call("Gelu", x, fast_gelu=approximate == "tanh")


def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return call("HardSigmoid", x, alpha=float(alpha), beta=float(beta))


def HardSwish(x):
    return call("Mul", x, call("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def Identity(x):
    return call("Copy", x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    infinity = constant(x, numpy.inf)
    if detect_negative and detect_positive:
        return call("EQ", call("Abs", x), infinity, dtype="bool")
    if detect_positive:
        return call("EQ", x, infinity, dtype="bool")
    if detect_negative:
        return call("EQ", x, constant(x, -numpy.inf), dtype="bool")
    return call("LT", call("Abs", x), constant(x, 0), dtype="bool")


def IsNaN(x):
    return call("NE", x, x, dtype="bool")


def LeakyRelu(x, *, alpha=0.01):
    return call("LeakyRelu", x, alpha=float(alpha))


def Log(x):
    return call("Log", x)


def Mish(x):
    return call("Mul", x, call("Tanh", call("Softplus", x)))


def Neg(x):
    return call("Negative", x)


def Not(x):
    return call("Not", x)


def PRelu(x, slope):
    if slope.size == 1 or (x.rank > 1 and slope.shape == (x.shape[1],) + (1,) * (x.rank - 2)):
        return call("PRelu", x, reshape(slope, (slope.size,)), shape=x.shape)
    return call("Sub", call("Relu", x), call("Mul", call("Relu", call("Negative", x)), slope))


def Reciprocal(x):
    return call("Reciprocal", x)


def Relu(x):
    return call("Relu", x)


def Round(x):
    # workaround: Caffe2 has no rounding to even; adding 2**23 leaves a float32 no fractional bits
    size, magic = call("Abs", x), constant(x, 2.0**23)
    rounded = call("Mul", call("Sign", x), call("Sub", call("Add", size, magic), magic))
    return Where(call("LT", size, magic, dtype="bool"), rounded, x)


def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return call("Selu", x, alpha=float(alpha), scale=float(gamma))


def Shrink(x, *, bias=0.0, lambd=0.5):
    low = Where(call("LT", x, constant(x, -lambd), dtype="bool"), call("Add", x, constant(x, bias)), constant(x, 0))
    return Where(call("GT", x, constant(x, lambd), dtype="bool"), call("Sub", x, constant(x, bias)), low)


def Sigmoid(x):
    return call("Sigmoid", x)


def Sign(x):
    return call("Sign", x)


def Sin(x):
    return call("Sin", x)


def Sinh(x):
    return call("Sinh", x)


def Softplus(x):
    # workaround: Caffe2's Softplus overflows for large operands
    return call("Add", call("Relu", x), call("Log1p", call("Exp", call("Negative", call("Abs", x)))))


def Softsign(x):
    return call("Softsign", x)


def Sqrt(x):
    return call("Sqrt", x)


def Swish(x, *, alpha=1.0):
    return call("Mul", x, call("Sigmoid", scale(x, alpha)))


def Tan(x):
    return call("Tan", x)


def Tanh(x):
    return call("Tanh", x)


def ThresholdedRelu(x, *, alpha=1.0):
    return call("ThresholdedRelu", x, alpha=float(alpha))


# Element-wise, several operands

_SMALL_INTEGERS = {"int8", "uint8", "int16", "uint16"}


def _arithmetic(op, a, b, dtype=None):
    if a.dtype in _SMALL_INTEGERS:
        # workaround: Caffe2 computes with integers of 4 and 8 bytes only; casting back wraps as the type would
        return cast(call(op, cast(a, "int32"), cast(b, "int32"), dtype=dtype), dtype or a.dtype)
    return call(op, a, b, dtype=dtype)


def Add(a, b):
    return _arithmetic("Add", a, b)


def And(a, b):
    return call("And", a, b)


def BitwiseAnd(a, b):
    return _arithmetic("BitwiseAnd", a, b)


def BitwiseOr(a, b):
    return _arithmetic("BitwiseOr", a, b)


def BitwiseXor(a, b):
    return _arithmetic("BitwiseXor", a, b)


def Div(a, b):
    return _arithmetic("Div", a, b)


def Equal(a, b):
    return _arithmetic("EQ", a, b, "bool")


def Greater(a, b):
    return _arithmetic("GT", a, b, "bool")


def GreaterOrEqual(a, b):
    return _arithmetic("GE", a, b, "bool")


def Less(a, b):
    return _arithmetic("LT", a, b, "bool")


def LessOrEqual(a, b):
    return _arithmetic("LE", a, b, "bool")


def _expanded(op, tensors):
    # workaround: Caffe2's Max, Min, Sum and Mean do not broadcast, and Max and Min do not even notice
    shape = broadcast_shape(*tensors)
    return call(op, *[expand(tensor, shape) for tensor in tensors])


def _extreme(op, comparison, tensors):
    if tensors[0].dtype == "float32":
        return _expanded(op, tensors)
    result = tensors[0]
    for tensor in tensors[1:]:
        result = Where(_arithmetic(comparison, result, tensor, "bool"), result, tensor)
    return result


def Max(*tensors):
    return _extreme("Max", "GT", tensors)


def Mean(*tensors):
    return _expanded("Mean", tensors)


def Min(*tensors):
    return _extreme("Min", "LT", tensors)


def Mod(a, b, *, fmod=0):
    if a.dtype not in _SMALL_INTEGERS | {"int32", "int64"}:
        raise Unsupported("Caffe2's Mod takes integers only")
    remainder = Sub(a, Mul(b, Div(a, b)))
    if fmod:
        return remainder
    zero = constant(a, 0)
    opposite = call("Xor", Less(remainder, zero), Less(b, zero))
    wraps = call("And", opposite, Not(Equal(remainder, zero)))
    return Where(wraps, Add(remainder, b), remainder)


def Mul(a, b):
    return _arithmetic("Mul", a, b)


def Or(a, b):
    return call("Or", a, b)


def Pow(a, b):
    if b.array is not None and b.size == 1 and b.rank <= a.rank:
        return call("Pow", a, exponent=float(b.array.reshape(())))
    shape = broadcast_shape(a, b)
    return call("Pow", expand(a, shape), expand(cast(b, a.dtype), shape))


def Sub(a, b):
    return _arithmetic("Sub", a, b)


def Sum(*tensors):
    return _expanded("Sum", tensors)


def Where(condition, a, b):
    shape = broadcast_shape(condition, a, b)
    condition, a, b = (expand(value, shape) for value in (condition, a, b))
    if a.dtype in _SMALL_INTEGERS:
        return cast(call("Where", condition, cast(a, "int32"), cast(b, "int32"), dtype="int32"), a.dtype)
    if a.dtype == "float16":
        raise Unsupported("Caffe2's Where does not take float16")
    return call("Where", condition, a, b, dtype=a.dtype)


def Xor(a, b):
    return call("Xor", a, b)


# Shape and place


def Concat(*tensors, axis):
    return concat(tensors, axis_of(axis, tensors[0].rank))


def DepthToSpace(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    depth = c // blocksize**2
    if mode == "DCR":
        apart = transpose(reshape(x, (n, blocksize, blocksize, depth, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        apart = transpose(reshape(x, (n, depth, blocksize, blocksize, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(apart, (n, depth, h * blocksize, w * blocksize))


def Expand(x, *, shape):
    full = numpy.broadcast(numpy.broadcast_to(0, x.shape), numpy.broadcast_to(0, shape)).shape
    return expand(x, full)


def Flatten(x, *, axis=1):
    axis = axis_of(axis, x.rank)
    rows = int(numpy.prod(x.shape[:axis], dtype=int))
    return reshape(x, (rows, x.size // max(rows, 1)))


def Gather(x, indices, *, axis=0):
    return take(x, indices, axis_of(axis, x.rank))


def Pad(x, *, pads, constant_value=None, axes=None, mode="constant"):
    axes = range(x.rank) if axes is None else [axis_of(axis, x.rank) for axis in axes]
    before, after = [0] * x.rank, [0] * x.rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = pads[position], pads[position + len(axes)]
    image = x.rank == 4 and x.dtype == "float32" and not any(before[:2] + after[:2])
    small = all(0 <= pad < extent for pad, extent in zip(before + after, x.shape * 2))
    if image and min(before + after) >= 0 and (mode == "constant" or (mode == "reflect" and small)):
        shape = [extent + first + last for extent, first, last in zip(x.shape, before, after)]
        return call("PadImage", x, shape=shape, pads=before[2:] + after[2:], mode=mode,
                    value=float(constant_value or 0))  # fmt: skip
    for axis in range(x.rank):
        x = _pad_axis(x, axis, before[axis], after[axis], mode, constant_value or 0)
    return x


def _pad_axis(x, axis, before, after, mode, value):
    if not before and not after:
        return x
    extent = x.shape[axis]
    if mode != "constant":
        positions = numpy.arange(-before, extent + after)
        if mode == "edge":
            positions = positions.clip(0, extent - 1)
        elif mode == "wrap":
            positions = positions % extent
        else:
            period = max(2 * (extent - 1), 1)
            positions = positions % period
            positions = numpy.minimum(positions, period - positions) if extent > 1 else positions * 0
        return take(x, constant(x, positions, "int64"), axis)
    x = slice_axis(x, axis, max(-before, 0), extent - max(-after, 0))
    sides = [
        constant(x, numpy.full(x.shape[:axis] + (count,) + x.shape[axis + 1 :], value)) if count > 0 else None
        for count in (before, after)
    ]
    return concat([part for part in (sides[0], x, sides[1]) if part is not None], axis)


def Reshape(x, *, shape, allowzero=0):
    shape = [x.shape[i] if extent == 0 and not allowzero else extent for i, extent in enumerate(shape)]
    if -1 in shape:
        rest = -int(numpy.prod(shape, dtype=int))
        shape[shape.index(-1)] = x.size // max(rest, 1)
    return reshape(x, shape)


def Slice(x, *, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = axis_of(axis, x.rank)
        extent = x.shape[axis]
        start, stop, _ = slice(start, end if step > 0 or end >= -extent else None, step).indices(extent)
        if step == 1:
            x = slice_axis(x, axis, start, max(start, stop))
        else:
            # workaround: Caffe2's Slice has no steps
            x = take(x, constant(x, range(start, stop, step), "int64"), axis)
    return x


def SpaceToDepth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    apart = reshape(x, (n, c, h // blocksize, blocksize, w // blocksize, blocksize))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return reshape(transpose(apart, order), (n, c * blocksize**2, h // blocksize, w // blocksize))


def Split(x, *, split=None, axis=0, num_outputs=None):
    axis = axis_of(axis, x.rank)
    if split is None:
        part = -(-x.shape[axis] // num_outputs)
        split = [part] * (num_outputs - 1) + [x.shape[axis] - part * (num_outputs - 1)]
    return _split(x, split, axis)


_split = split


def Squeeze(x, *, axes=None):
    axes = [axis_of(axis, x.rank) for axis in axes] if axes is not None else None
    keep = [i for i, extent in enumerate(x.shape) if (extent != 1 if axes is None else i not in axes)]
    return reshape(x, [x.shape[i] for i in keep])


def Tile(x, *, repeats):
    if x.dtype not in TYPES["Tile"]:
        return cast(Tile(cast(x, "int32"), repeats=repeats), x.dtype)
    for axis, count in enumerate(repeats):
        if count != 1:
            shape = x.shape[:axis] + (x.shape[axis] * count,) + x.shape[axis + 1 :]
            x = call("Tile", x, shape=shape, tiles=int(count), axis=axis)
    return x


def Transpose(x, *, perm=None):
    return transpose(x, range(x.rank)[::-1] if perm is None else perm)


def Unsqueeze(x, *, axes):
    rank = x.rank + len(axes)
    axes = {axis_of(axis, rank) for axis in axes}
    extents = iter(x.shape)
    return reshape(x, [1 if i in axes else next(extents) for i in range(rank)])


# Reductions


def _axes(x, axes, noop_with_empty_axes):
    if axes is None or len(axes) == 0:
        return [] if noop_with_empty_axes else list(range(x.rank))
    return sorted(axis_of(axis, x.rank) for axis in axes)


def _reduced(x, axes, keepdims):
    return [1 if i in axes else extent for i, extent in enumerate(x.shape) if keepdims or i not in axes]


def _reduce(op, x, axes, keepdims, noop_with_empty_axes):
    axes = _axes(x, axes, noop_with_empty_axes)
    if x.size == 0:
        raise Unsupported(f"Caffe2's {op} does not reduce empty tensors")
    if not axes:
        return x
    return call(op, x, shape=_reduced(x, axes, keepdims), axes=axes, keepdims=keepdims)


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", Abs(x), axes, keepdims, noop_with_empty_axes)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return call("Sqrt", ReduceSumSquare(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes))


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return call("Log", _reduce("ReduceSum", x, axes, keepdims, noop_with_empty_axes))


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    axes = _axes(x, axes, noop_with_empty_axes)
    if not axes:
        return x
    top, total = _log_sum_exp(x, axes)
    return reshape(call("Add", top, call("Log", total)), _reduced(x, axes, keepdims))


def _log_sum_exp(x, axes):
    """The largest element along the axes, and the sum of the exponentials of what lies below it."""
    top = call("StopGradient", _reduce("ReduceMax", x, axes, 1, 1))
    return top, _reduce("ReduceSum", call("Exp", call("Sub", x, top)), axes, 1, 1)


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _through_int32(lambda y: _reduce("ReduceMax", y, axes, keepdims, noop_with_empty_axes), x)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceMean", x, axes, keepdims, noop_with_empty_axes)


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _through_int32(lambda y: _reduce("ReduceMin", y, axes, keepdims, noop_with_empty_axes), x)


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", x, axes, keepdims, noop_with_empty_axes)


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("ReduceSum", call("Mul", x, x), axes, keepdims, noop_with_empty_axes)


def _through_int32(function, x):
    if x.dtype in _SMALL_INTEGERS | {"bool"}:
        return cast(function(cast(x, "int32")), x.dtype)
    return function(x)


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("ArgMax", x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("ArgMin", x, axis, keepdims, select_last_index)


def _arg(op, x, axis, keepdims, select_last_index):
    axis = axis_of(axis, x.rank)
    shape = _reduced(x, [axis], keepdims)
    if not select_last_index:
        return call(op, x, shape=shape, dtype="int64", axis=axis, keepdims=keepdims)
    last = x.shape[axis] - 1
    flipped = take(x, constant(x, range(last, -1, -1), "int64"), axis)
    first = call(op, flipped, shape=shape, dtype="int64", axis=axis, keepdims=keepdims)
    return call("Sub", constant(first, last), first)


def TopK(x, *, K, axis=-1, largest=1, sorted=1):
    axis = axis_of(axis, x.rank)
    shape = x.shape[:axis] + (int(K),) + x.shape[axis + 1 :]
    values, indices = calls(
        "TopK", [x if largest else Neg(x)], [(shape, x.dtype), (shape, "int64")], k=int(K), axis=axis
    )
    return values if largest else Neg(values), indices


# Softmax and what follows from it


def Softmax(x, *, axis=-1):
    axis = axis_of(axis, x.rank)
    if axis == x.rank - 1:
        return call("Softmax", x, axis=axis)
    # workaround: Caffe2's Softmax takes all axes from `axis` on together
    last = move_axis(x, axis, x.rank - 1)
    return move_axis(call("Softmax", last, axis=x.rank - 1), x.rank - 1, axis)


def LogSoftmax(x, *, axis=-1):
    # workaround: Caffe2 has no LogSoftmax, and the logarithm of its Softmax loses small probabilities
    axis = axis_of(axis, x.rank)
    top, total = _log_sum_exp(x, [axis])
    return call("Sub", call("Sub", x, top), call("Log", total))


def Hardmax(x, *, axis=-1):
    axis = axis_of(axis, x.rank)
    best = call("ArgMax", x, shape=_reduced(x, [axis], 1), dtype="int64", axis=axis, keepdims=1)
    places = numpy.arange(x.shape[axis]).reshape([-1] + [1] * (x.rank - 1 - axis))
    return cast(call("EQ", best, constant(best, places), dtype="bool"), x.dtype)


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, reduction="mean", ignore_index=None):
    classes = scores.shape[1]
    if reduction == "mean" and weights is None and ignore_index is None:
        flat = reshape(move_axis(scores, 1, scores.rank - 1), (labels.size, classes))
        flat_labels = reshape(cast(labels, "int32"), (labels.size,))
        probability, loss = calls(
            "SoftmaxWithLoss", [flat, flat_labels], [(flat.shape, scores.dtype), ((), scores.dtype)]
        )
        return loss
    log_probability = LogSoftmax(scores, axis=1)
    loss = NegativeLogLikelihoodLoss(log_probability, labels, weights, reduction=reduction, ignore_index=ignore_index)
    return loss, log_probability


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, reduction="mean", ignore_index=None):
    classes = scores.shape[1]
    flat = reshape(move_axis(scores, 1, scores.rank - 1), (labels.size, classes))
    flat_labels = reshape(labels, (labels.size,))
    factor = None
    if ignore_index is not None:
        counted = call("NE", flat_labels, constant(flat_labels, ignore_index), dtype="bool")
        flat_labels = call("Mul", flat_labels, cast(counted, flat_labels.dtype))
        factor = cast(counted, scores.dtype)
    if weights is not None:
        chosen = take(weights, flat_labels, 0)
        factor = chosen if factor is None else call("Mul", chosen, factor)
    column = reshape(flat_labels, (labels.size, 1))
    picked = call("Gather", flat, column, shape=column.shape, axis=1, match_outer=1)
    losses = call("Negative", reshape(picked, flat_labels.shape))
    if factor is not None:
        losses = call("Mul", losses, factor)
    if reduction == "none":
        return reshape(losses, labels.shape)
    total = call("ReduceSum", losses, shape=(), axes=[0], keepdims=0)
    if reduction == "sum":
        return total
    if factor is None:
        return scale(total, 1 / labels.size)
    return call("Div", total, call("ReduceSum", factor, shape=(), axes=[0], keepdims=0))


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
    if a.rank == 1:
        product = MatMul(reshape(a, (1, a.size)), b)
        return reshape(product, product.shape[:-2] + product.shape[-1:])
    if b.rank == 1:
        product = MatMul(a, reshape(b, (b.size, 1)))
        return reshape(product, product.shape[:-1])
    if a.rank == 2 and b.rank == 2:
        return call("MatMul", a, b, shape=(a.shape[0], b.shape[1]))
    batch = numpy.broadcast(numpy.broadcast_to(0, a.shape[:-2]), numpy.broadcast_to(0, b.shape[:-2])).shape
    shape = batch + (a.shape[-2], b.shape[-1])
    if not a.graph.training:
        return call("BatchMatMul", a, b, shape=shape, broadcast=int(a.shape[:-2] != b.shape[:-2]))
    if b.rank == 2:
        # workaround: BatchMatMul has no gradient where it broadcasts, MatMul a wrong one beyond two axes
        bias = constant(a, numpy.zeros(b.shape[1]))
        return call("FCTransposed", a, b, bias, shape=shape, axis=a.rank - 1)
    # workaround: BatchMatMul has no gradient where it broadcasts
    return call("BatchMatMul", expand(a, batch + a.shape[-2:]), expand(b, batch + b.shape[-2:]), shape=shape)


# Convolution and pooling


def _same(extent, kernel, stride, dilation, upper):
    """Padding so that the output has ceil(extent / stride) positions."""
    total = max((-(-extent // stride) - 1) * stride + (kernel - 1) * dilation + 1 - extent, 0)
    small = total // 2
    return (small, total - small) if upper else (total - small, small)


def _windows(x, kernel, strides, pads, dilations, auto_pad):
    """Strides, dilations, and padding before and after, of each spatial axis."""
    rank = x.rank - 2
    strides = list(strides) if strides is not None else [1] * rank
    dilations = list(dilations) if dilations is not None else [1] * rank
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        pairs = [_same(*each, auto_pad == "SAME_UPPER") for each in zip(x.shape[2:], kernel, strides, dilations)]
        pads = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    elif auto_pad == "VALID" or pads is None:
        pads = [0] * (2 * rank)
    if min(pads, default=0) < 0:
        raise Unsupported("Caffe2 does not crop by negative pads")
    return strides, dilations, list(pads)


def _positions(x, kernel, strides, dilations, pads):
    """How many windows fit along each spatial axis."""
    rank = len(kernel)
    return [
        (x.shape[2 + i] + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(rank)
    ]


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
    full = [strides[i] * (x.shape[2 + i] - 1) + extra[i] + kernel[i] for i in range(rank)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and output_shape is None:
        output_shape = [x.shape[2 + i] * strides[i] for i in range(rank)]
    if output_shape is not None:
        totals = [full[i] - output_shape[-rank:][i] for i in range(rank)]
        small = [total // 2 for total in totals]
        large = [total - half for total, half in zip(totals, small)]
        pads = small + large if auto_pad == "SAME_UPPER" else large + small
    elif pads is None or auto_pad == "VALID":
        pads = [0] * (2 * rank)
    if min(pads) < 0 or any(e >= s for e, s in zip(extra, strides)):
        raise Unsupported("Caffe2's ConvTranspose has no negative pads, and no output_padding beyond the stride")
    shape = [x.shape[0], w.shape[1] * group] + [full[i] - pads[i] - pads[rank + i] for i in range(rank)]
    inputs = [x, w] if b is None else [x, w, b]
    return call("ConvTranspose", *inputs, shape=shape, kernels=kernel, strides=strides, pads=list(pads), adjs=extra,
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
        extended = _ceil_pads(x, kernel, strides, pads)
        if arguments.get("count_include_pad") and extended != pads:
            raise Unsupported(f"Caffe2's {op} would count the positions that ceil_mode adds")
        pads = extended
    if any(pad >= kernel[i % rank] for i, pad in enumerate(pads)):
        raise Unsupported(f"Caffe2's {op} wants pads smaller than the kernel")
    shape = list(x.shape[:2]) + _positions(x, kernel, strides, dilations, pads)
    return call(op, x, shape=shape, kernels=kernel, strides=strides, pads=pads, order="NCHW", **arguments)


def _ceil_pads(x, kernel, strides, pads):
    """Padding that lets as many windows fit as ONNX's ceil_mode has; none may start beyond the padded input."""
    rank = len(kernel)
    pads = list(pads)
    for i in range(rank):
        extent = x.shape[2 + i] + pads[i] + pads[rank + i]
        count = -(-(extent - kernel[i]) // strides[i]) + 1
        if (count - 1) * strides[i] >= x.shape[2 + i] + pads[i]:
            count -= 1
        pads[rank + i] = max(pads[rank + i], pads[rank + i] + (count - 1) * strides[i] + kernel[i] - extent)
    return pads


def AveragePool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, pads=None,
                strides=None):  # fmt: skip
    return _pool("AveragePool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode,
                 count_include_pad=count_include_pad)  # fmt: skip


def MaxPool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0,
            strides=None):  # fmt: skip
    return _pool("MaxPool", x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)


def _global_pool(op, x):
    return call(op, x, shape=x.shape[:2] + (1,) * (x.rank - 2), kernels=[0] * (x.rank - 2), global_pooling=1,
                order="NCHW")  # fmt: skip


def GlobalAveragePool(x):
    return _global_pool("AveragePool", x)


def GlobalMaxPool(x):
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


def OneHot(indices, values, *, depth, axis=-1):
    axis = axis_of(axis, indices.rank + 1)
    wide = reshape(indices, indices.shape[:axis] + (1,) + indices.shape[axis:])
    places = constant(wide, numpy.arange(depth).reshape([-1] + [1] * (indices.rank - axis)))
    negative = call("Sub", places, constant(wide, depth))
    hot = call("Or", call("EQ", wide, places, dtype="bool"), call("EQ", wide, negative, dtype="bool"))
    off, on = (slice_axis(values, 0, i, i + 1) for i in (0, 1))
    return Where(hot, on, off)


def Trilu(x, *, k=0, upper=1):
    mask = numpy.triu(numpy.ones(x.shape[-2:]), k) if upper else numpy.tril(numpy.ones(x.shape[-2:]), k)
    return Where(constant(x, mask, "bool"), x, constant(x, 0))
