"""ONNX's operators on single elements: arithmetic, activations, comparison, logic, types."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from ..kit.interface import Unsupported
from .dtypes import NARROW, cast, is_float, is_integer, type_of

# Arithmetic


def Add(a, b):
    return jnp.add(a, b)


def Sub(a, b):
    return jnp.subtract(a, b)


def Mul(a, b):
    return jnp.multiply(a, b)


def Div(a, b):
    return jnp.divide(a, b) if not is_integer(a) else lax.div(*jnp.broadcast_arrays(a, b))


def Mod(a, b, *, fmod=0):
    return jnp.fmod(a, b) if fmod else jnp.remainder(a, b)


def Pow(a, b):
    exponent = _known_scalar(b)
    if exponent is not None and is_float(a) and b.ndim <= a.ndim:
        if exponent == int(exponent) and abs(exponent) <= 8:
            return lax.integer_pow(a, int(exponent))
        if exponent == 0.5:
            return jnp.sqrt(a)
    if is_integer(a) and is_float(b):
        return jnp.power(a.astype(jnp.float64), b).astype(a.dtype)
    if is_integer(b) and is_float(a):
        b = b.astype(a.dtype)
    return jnp.power(a, b).astype(a.dtype)


def _known_scalar(x):
    """The number that a constant of one element is, else None."""
    return x.item() if x.size == 1 and not isinstance(x, jax.core.Tracer) else None


def Sum(*tensors):
    return functools.reduce(jnp.add, tensors)


def Mean(*tensors):
    return functools.reduce(jnp.add, tensors) / len(tensors)


def Min(*tensors):
    return functools.reduce(jnp.minimum, tensors)


def Max(*tensors):
    return functools.reduce(jnp.maximum, tensors)


def Clip(x, min=None, max=None):
    return jnp.clip(x, min, max)


def Sqrt(x):
    return jnp.sqrt(x)


def Exp(x):
    return jnp.exp(x)


def Log(x):
    return jnp.log(x)


def Erf(x):
    return lax.erf(x)


def Neg(x):
    return jnp.negative(x)


def Abs(x):
    return jnp.abs(x)


def Sign(x):
    return jnp.sign(x)


def Reciprocal(x):
    return 1 / x


def Ceil(x):
    return jnp.ceil(x)


def Floor(x):
    return jnp.floor(x)


def Round(x):
    return jnp.round(x)


def Sin(x):
    return jnp.sin(x)


def Cos(x):
    return jnp.cos(x)


def Tan(x):
    return jnp.tan(x)


def Asin(x):
    return jnp.arcsin(x)


def Acos(x):
    return jnp.arccos(x)


def Atan(x):
    return jnp.arctan(x)


def Sinh(x):
    return jnp.sinh(x)


def Cosh(x):
    return jnp.cosh(x)


def Tanh(x):
    return jnp.tanh(x)


def Asinh(x):
    return jnp.arcsinh(x)


def Acosh(x):
    return jnp.arccosh(x)


def Atanh(x):
    return jnp.arctanh(x)


# Activations


def Relu(x):
    return jax.nn.relu(x)


def LeakyRelu(x, *, alpha=0.01):
    return jnp.where(x < 0, alpha * x, x)


def PRelu(x, slope):
    return jnp.where(x < 0, slope * x, x)


def Elu(x, *, alpha=1.0):
    return jax.nn.elu(x, alpha)


# workaround: JAX's selu has alpha and gamma built in.
def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return gamma * jax.nn.elu(x, alpha)


def Celu(x, *, alpha=1.0):
    return jax.nn.celu(x, alpha)


def Gelu(x, *, approximate="none"):
    return jax.nn.gelu(x, approximate == "tanh")


def Sigmoid(x):
    return jax.nn.sigmoid(x)


# workaround: JAX's hard_sigmoid has its slope built in, and it is not ONNX's.
def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return jnp.clip(alpha * x + beta, 0, 1)


def HardSwish(x):
    return jax.nn.hard_swish(x)


def Swish(x, *, alpha=1.0):
    return x * jax.nn.sigmoid(alpha * x)


def Mish(x):
    return jax.nn.mish(x)


def Softplus(x):
    return jax.nn.softplus(x)


def Softsign(x):
    return jax.nn.soft_sign(x)


def ThresholdedRelu(x, *, alpha=1.0):
    return jnp.where(x > alpha, x, 0)


def Shrink(x, *, bias=0.0, lambd=0.5):
    y = jnp.where(x < -lambd, x + bias, jnp.where(x > lambd, x - bias, 0))
    return y.astype(x.dtype)


# Comparison and logic


def Equal(a, b):
    return jnp.equal(a, b)


def Greater(a, b):
    return jnp.greater(a, b)


def GreaterOrEqual(a, b):
    return jnp.greater_equal(a, b)


def Less(a, b):
    return jnp.less(a, b)


def LessOrEqual(a, b):
    return jnp.less_equal(a, b)


def And(a, b):
    return jnp.logical_and(a, b)


def Or(a, b):
    return jnp.logical_or(a, b)


def Xor(a, b):
    return jnp.logical_xor(a, b)


def Not(x):
    return jnp.logical_not(x)


def BitwiseAnd(a, b):
    return jnp.bitwise_and(a, b)


def BitwiseOr(a, b):
    return jnp.bitwise_or(a, b)


def BitwiseXor(a, b):
    return jnp.bitwise_xor(a, b)


def BitwiseNot(x):
    return jnp.bitwise_not(x)


def BitShift(a, b, *, direction):
    return jnp.left_shift(a, b) if direction == "LEFT" else jnp.right_shift(a, b)


def IsNaN(x):
    return jnp.isnan(x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    if detect_negative and detect_positive:
        return jnp.isinf(x)
    if detect_positive:
        return jnp.isposinf(x)
    return jnp.isneginf(x) if detect_negative else jnp.zeros(x.shape, bool)


def Where(condition, a, b):
    return jnp.where(condition, a, b)


# Element types


def Cast(x, *, to, saturate=1, round_mode="up"):
    return cast(x, type_of(to), bool(saturate), round_mode)


def CastLike(x, like, *, saturate=1, round_mode="up"):
    return cast(x, like.dtype, bool(saturate), round_mode)


def BitCast(x, *, to):
    if x.dtype in NARROW or type_of(to) in NARROW:
        raise Unsupported("integers of fewer than eight bits")
    if jnp.bool_ in (x.dtype, type_of(to)):
        raise Unsupported("XLA has no bits of booleans")
    return lax.bitcast_convert_type(x, type_of(to))


def Identity(x):
    return x


def Dropout(x, ratio=0.5, training_mode=False, *, seed=None):
    if training_mode and ratio != 0:
        raise Unsupported("random numbers inside a compiled function, whose seed a Program does not carry on")
    return x, jnp.ones(x.shape, bool)
