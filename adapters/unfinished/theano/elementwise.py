"""ONNX operators on Theano's variables: arithmetic, comparisons, logic, activations, element types."""

from __future__ import annotations

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported
from .common import FLOATS, TYPES, UNSIGNED, constant, folded, is_float, known, require

# Arithmetic.


def Add(a, b):
    return a + b


def Sub(a, b):
    return a - b


def Mul(a, b):
    return a * b


def Div(a, b):
    """Integers divide towards zero; what is divided by zero is zero."""
    if is_float(a):
        return a / b
    none = T.eq(b, constant(0, b.dtype))
    # workaround: Theano rounds quotients of integers down, and one divided by zero would end the process
    b = T.switch(none, constant(1, b.dtype), b)
    if a.dtype in UNSIGNED:
        return T.switch(none, constant(0, a.dtype), a // b).astype(a.dtype)
    down = a // b
    towards = down + (T.neq(down * b, a) & T.lt(down, constant(0, a.dtype))).astype(a.dtype)
    return T.switch(none, constant(0, a.dtype), towards).astype(a.dtype)


def Mod(a, b, *, fmod=0):
    """The remainder has the sign of the divisor; with fmod that of the dividend."""
    if not fmod:
        return (a % b).astype(a.dtype)
    return (T.sgn(a) * (abs(a) % abs(b))).astype(a.dtype)


def Pow(x, exponent):
    if is_float(x):
        number = known(exponent)
        if number is not None and number.size == 1 and exponent.ndim <= x.ndim:
            return x ** constant(number.reshape((1,) * exponent.ndim), x.dtype)  # Theano has x*x for x**2, and the like
        return x ** exponent.astype(x.dtype)
    if is_float(exponent):
        return (x.astype("float64") ** exponent.astype("float64")).astype(x.dtype)
    require(x, ("int8", "int16", "int32"), "powers")  # float64 is exact for these, as far as they do not overflow
    return (x.astype("float64") ** exponent.astype("float64")).astype(x.dtype)


def Sum(*tensors):
    return folded(lambda a, b: a + b, tensors)


def Mean(*tensors):
    return Sum(*tensors) / constant(len(tensors), tensors[0].dtype)


def Max(*tensors):
    return folded(T.maximum, tensors)


def Min(*tensors):
    return folded(T.minimum, tensors)


def Neg(x):
    return -x


def Abs(x):
    return x if x.dtype in UNSIGNED else abs(x)


def Sign(x):
    if x.dtype in UNSIGNED:
        return T.gt(x, constant(0, x.dtype)).astype(x.dtype)
    return T.sgn(x)


def Reciprocal(x):
    return T.inv(x)


def Sqrt(x):
    return T.sqrt(x)


def Exp(x):
    return T.exp(x)


def Log(x):
    return T.log(x)


def Floor(x):
    return T.floor(x)


def Ceil(x):
    return T.ceil(x)


def Round(x):
    require(x, FLOATS, "rounding")
    return T.round(x, mode="half_to_even")


def Erf(x):
    require(x, FLOATS, "erf")
    return T.erf(x)


def Sin(x):
    return T.sin(x)


def Cos(x):
    return T.cos(x)


def Tan(x):
    return T.tan(x)


def Asin(x):
    return T.arcsin(x)


def Acos(x):
    return T.arccos(x)


def Atan(x):
    return T.arctan(x)


def Sinh(x):
    return T.sinh(x)


def Cosh(x):
    return T.cosh(x)


def Asinh(x):
    return T.arcsinh(x)


def Acosh(x):
    return T.arccosh(x)


def Atanh(x):
    return T.arctanh(x)


def Clip(x, *, min=None, max=None):
    if min is not None:
        x = T.maximum(x, constant(min, x.dtype))
    return x if max is None else T.minimum(x, constant(max, x.dtype))


# Comparisons and logic.


def Equal(a, b):
    if a is b and is_float(a):
        raise Unsupported("Theano takes a tensor for equal to itself, nan or not")
    return T.eq(a, b)


def Greater(a, b):
    return T.gt(a, b)


def GreaterOrEqual(a, b):
    return T.ge(a, b)


def Less(a, b):
    return T.lt(a, b)


def LessOrEqual(a, b):
    return T.le(a, b)


def And(a, b):
    return a & b


def Or(a, b):
    return a | b


def Xor(a, b):
    return T.neq(a, b)


def Not(x):
    return T.eq(x, constant(False, "bool"))


def BitwiseAnd(a, b):
    return a & b


def BitwiseOr(a, b):
    return a | b


def BitwiseXor(a, b):
    return a ^ b


def BitwiseNot(x):
    return ~x


def IsNaN(x):
    require(x, FLOATS, "isnan")
    return T.isnan(x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    require(x, FLOATS, "isinf")
    above, below = (T.eq(x, constant(number, x.dtype)) for number in (numpy.inf, -numpy.inf))
    if detect_negative and detect_positive:
        return above | below
    if detect_positive or detect_negative:
        return above if detect_positive else below
    return above & below


def Where(condition, x, y):
    return T.switch(condition, x, y)


# Element types.


def Cast(x, *, to, saturate=1, round_mode="up"):
    if to not in TYPES:
        raise Unsupported("Theano has no element type " + to)
    if to == "bool":
        return T.neq(x, constant(0, x.dtype))
    if is_float(x) and to in UNSIGNED:
        return x.astype("int64").astype(to)
    return x.astype(to)


def CastLike(x, target, *, saturate=1, round_mode="up"):
    return Cast(x, to=target.dtype)


def Identity(x):
    return x


# Activations.


def Relu(x):
    # T.nnet.relu makes nan of -inf, and half a gradient at 0.
    return T.switch(x <= constant(0, x.dtype), constant(0, x.dtype), x)


def LeakyRelu(x, *, alpha=0.01):
    return T.switch(x < constant(0, x.dtype), x * constant(alpha, x.dtype), x)


def PRelu(x, slope):
    return T.switch(x < constant(0, x.dtype), x * slope, x)


def ThresholdedRelu(x, *, alpha=1.0):
    return T.switch(x > constant(alpha, x.dtype), x, constant(0, x.dtype))


def _expm1_below(x):
    """exp(x) - 1 where x is below 0, else 0: nothing that overflows is computed, nor its gradient."""
    return T.expm1(T.minimum(x, constant(0, x.dtype)))


def Elu(x, *, alpha=1.0):
    return T.switch(x < constant(0, x.dtype), constant(alpha, x.dtype) * _expm1_below(x), x)


def Celu(x, *, alpha=1.0):
    return T.switch(x < constant(0, x.dtype), constant(alpha, x.dtype) * _expm1_below(x / constant(alpha, x.dtype)), x)


def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return constant(gamma, x.dtype) * Elu(x, alpha=alpha)


def Sigmoid(x):
    return T.nnet.sigmoid(x)


def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    line = x * constant(alpha, x.dtype) + constant(beta, x.dtype)
    return T.clip(line, constant(0, x.dtype), constant(1, x.dtype))


def HardSwish(x):
    return x * HardSigmoid(x, alpha=1 / 6)


def Swish(x, *, alpha=1.0):
    return x * Sigmoid(x if alpha == 1 else x * constant(alpha, x.dtype))


def Tanh(x):
    return T.tanh(x)


def Softplus(x):
    return T.nnet.softplus(x)


def Softsign(x):
    return x / (constant(1, x.dtype) + abs(x))


def Mish(x):
    return x * Tanh(Softplus(x))


def Gelu(x, *, approximate="none"):
    half, one = constant(0.5, x.dtype), constant(1, x.dtype)
    if approximate == "tanh":
        cubic = x + constant(0.044715, x.dtype) * x * x * x
        return half * x * (one + T.tanh(constant(numpy.sqrt(2 / numpy.pi), x.dtype) * cubic))
    return half * x * (one + T.erf(x * constant(numpy.sqrt(0.5), x.dtype)))


def Shrink(x, *, bias=0.0, lambd=0.5):
    bias, zero = constant(bias, x.dtype), constant(0, x.dtype)
    above, below = x > constant(lambd, x.dtype), x < constant(-lambd, x.dtype)
    return T.switch(below, x + bias, T.switch(above, x - bias, zero))


def BitShift(x, bits, *, direction):
    """Shifts by multiplying with or dividing by powers of two; counts beyond the type's bits shift everything out."""
    # workaround: Theano has no shifts
    require(x, UNSIGNED, "shifts")
    width = numpy.dtype(x.dtype).itemsize * 8
    powers = constant([2**i for i in range(width)], x.dtype)
    inside = T.lt(bits, constant(width, bits.dtype))
    count = T.switch(inside, bits, constant(0, bits.dtype)).astype("int64")
    power = powers[count]
    shifted = x * power if direction == "LEFT" else x // power
    return T.switch(inside, shifted, constant(0, x.dtype)).astype(x.dtype)
