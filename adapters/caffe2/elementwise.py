"""ONNX's element-wise operators."""

from __future__ import annotations

import math

import numpy

from ..kit.interface import Unsupported
from .graph import (
    SMALL_INTEGERS,
    add,
    broadcast_shape,
    call,
    calls,
    cast,
    concat,
    constant,
    expand,
    fc,
    first_largest,
    own,
    reshape,
    scale,
    sqrt,
    squared,
)


def Abs(x):
    if x.dtype != "float32":
        # workaround: Caffe2's Abs takes float32 only
        return call("Mul", x, call("Sign", x))
    return call("Abs", x)


def Acos(x):
    return call("Acos", x)


def Acosh(x):
    above = call("Sub", x, constant(x, 1))
    return call("Log1p", call("Add", above, sqrt(call("Add", squared(above), scale(above, 2)))))


def Asin(x):
    return call("Asin", x)


def Asinh(x):
    # its gradient at 0 is 1, and that of Caffe2's Abs is 0 there
    below = call("LT", x, constant(x, 0), dtype="bool")
    size, square = Where(below, Neg(x), x), squared(x)
    root = sqrt(call("Add", square, constant(x, 1)))
    part = call("Div", square, call("Add", root, constant(x, 1)))
    positive = call("Log1p", call("Add", size, part))
    return Where(below, Neg(positive), positive)


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
        x = Where(Less(x, constant(x, min)), constant(x, min), x)
    if max is not None:
        x = Where(Greater(x, constant(x, max)), constant(x, max), x)
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
    if approximate == "tanh":
        return call("Gelu", x, fast_gelu=True)
    # workaround: Caffe2's Gelu calls erf for one number at a time, its Erf for vectors: five times faster
    half = scale(x, 0.5)
    return add(half, call("Mul", half, call("Erf", scale(x, math.sqrt(0.5)))))


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
    # workaround: Caffe2's PRelu has one slope for all elements or one for each channel
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
    return sqrt(x)


def Swish(x, *, alpha=1.0):
    return call("Mul", x, call("Sigmoid", scale(x, alpha)))


def Tan(x):
    return call("Tan", x)


def Tanh(x):
    return call("Tanh", x)


def ThresholdedRelu(x, *, alpha=1.0):
    return call("ThresholdedRelu", x, alpha=float(alpha))


# Element-wise, several operands


def _arithmetic(op, a, b, dtype=None):
    if a.dtype in SMALL_INTEGERS:
        # workaround: Caffe2 computes with integers of 4 and 8 bytes only; casting back wraps as the type would
        return cast(call(op, cast(a, "int32"), cast(b, "int32"), dtype=dtype), dtype or a.dtype)
    return call(op, a, b, dtype=dtype)


def Add(a, b):
    if a.dtype in SMALL_INTEGERS:
        return _arithmetic("Add", a, b)
    return _biased(a, b) or _biased(b, a) or add(a, b)


def _biased(product, bias):
    """x @ W + bias in one, where Caffe2 has made x @ W so far; None where it is something else."""
    if product.product is None or bias.shape[-1:] != product.shape[-1:] or bias.size != product.shape[-1]:
        return None
    x, weight = product.product
    return reshape(fc(x, weight, reshape(bias, (bias.size,))), product.shape)


def And(a, b):
    return call("And", a, b)


def BitwiseAnd(a, b):
    return _arithmetic("BitwiseAnd", a, b)


def BitwiseNot(x):
    lowest, highest = numpy.iinfo(x.dtype).min, numpy.iinfo(x.dtype).max
    return Sub(constant(x, lowest + highest), x)


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
        return _first_extreme(op, tensors) if tensors[0].graph.training else _expanded(op, tensors)
    result = tensors[0]
    for tensor in tensors[1:]:
        result = Where(_arithmetic(comparison, result, tensor, "bool"), result, tensor)
    return result


def _first_extreme(op, tensors):
    # workaround: the gradients of Caffe2's Max and Min go to each of several equal operands in full
    shape = broadcast_shape(*tensors)
    stacked = concat([reshape(expand(tensor, shape), shape + (1,)) for tensor in tensors], len(shape))
    return first_largest(stacked) if op == "Max" else Neg(first_largest(Neg(stacked)))


def Max(*tensors):
    return _extreme("Max", "GT", tensors)


def Mean(*tensors):
    return _expanded("Mean", tensors)


def Min(*tensors):
    return _extreme("Min", "LT", tensors)


def Mod(a, b, *, fmod=0):
    if a.dtype not in SMALL_INTEGERS | {"int32", "int64"}:
        raise Unsupported("Caffe2's Mod takes integers only")
    # workaround: the divisor of Caffe2's Mod is a number fixed at load
    remainder = Sub(a, Mul(b, Div(a, b)))
    if fmod:
        return remainder
    zero = constant(a, 0)
    opposite = call("Xor", Less(remainder, zero), Less(b, zero))
    wraps = call("And", opposite, Not(Equal(remainder, zero)))
    return Where(wraps, Add(remainder, b), remainder)


def Mul(a, b):
    for x, factor in ((a, b), (b, a)):
        if x.dtype == "float32" and factor.array is not None and factor.size == 1 and factor.rank <= x.rank:
            return call("Scale", x, scale=float(factor.array.reshape(())))
    return _arithmetic("Mul", a, b)


def Or(a, b):
    return call("Or", a, b)


def Pow(a, b):
    if b.array is not None and b.size == 1 and b.rank <= a.rank:
        exponent = float(b.array.reshape(()))
        return squared(a) if exponent == 2 else call("Pow", own(a), exponent=exponent)
    # workaround: the exponent of Caffe2's Pow does not broadcast
    shape = broadcast_shape(a, b)
    return call("Pow", own(expand(a, shape)), own(expand(cast(b, a.dtype), shape)))


def Sub(a, b):
    return _arithmetic("Sub", a, b)


def Sum(*tensors):
    return _expanded("Sum", tensors)


def Where(condition, a, b):
    shape = broadcast_shape(condition, a, b)
    condition, a, b = (expand(value, shape) for value in (condition, a, b))
    if a.dtype in SMALL_INTEGERS:
        # workaround: Caffe2 computes with integers of 4 and 8 bytes only
        return cast(call("Where", condition, cast(a, "int32"), cast(b, "int32"), dtype="int32"), a.dtype)
    if a.dtype == "float16":
        raise Unsupported("Caffe2's Where does not take float16")
    return call("Where", condition, a, b, dtype=a.dtype)


def Xor(a, b):
    return call("Xor", a, b)
