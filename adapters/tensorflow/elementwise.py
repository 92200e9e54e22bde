"""Operators that work element by element, with one operand or more, and casts."""

from __future__ import annotations

import tensorflow as tf

from ..kit.interface import Unsupported
from .common import INT4, UINT4, as_row, dtype_of, extents, in_float, is_float, scalar, widened
from .target import target


def Abs(x):
    return x if x.dtype.is_unsigned else widened(tf.abs, x)


def Acos(x):
    return tf.acos(x)


def Acosh(x):
    return tf.acosh(x)


def Asin(x):
    return tf.asin(x)


def Asinh(x):
    return tf.asinh(x)


def Atan(x):
    return tf.atan(x)


def Atanh(x):
    return tf.atanh(x)


def Ceil(x):
    return tf.math.ceil(x)


def Celu(x, *, alpha=1.0):
    return tf.maximum(x, 0) + tf.minimum(alpha * tf.math.expm1(x / alpha), 0)


def Cos(x):
    return tf.cos(x)


def Cosh(x):
    return tf.cosh(x)


def Elu(x, *, alpha=1.0):
    if alpha == 1:
        return in_float(tf.nn.elu, x)
    return in_float(lambda x: tf.where(x >= 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))), x)


def Erf(x):
    return tf.math.erf(x)


def Exp(x):
    return tf.exp(x)


def Floor(x):
    return tf.floor(x)


def Gelu(x, *, approximate="none"):
    return tf.nn.gelu(x, approximate=approximate == "tanh")


def HardSigmoid(x, *, alpha=0.2, beta=0.5):
    return tf.clip_by_value(alpha * x + beta, 0, 1)


def HardSwish(x):
    return x * tf.clip_by_value(x * (1 / 6) + 0.5, 0, 1)


def Identity(x):
    return tf.identity(x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    found = tf.math.is_inf(in_wide_float(x))
    if not detect_negative:
        found = found & (in_wide_float(x) > 0)
    if not detect_positive:
        found = found & (in_wide_float(x) < 0)
    return found


def in_wide_float(x):
    # workaround: TensorFlow has no kernels that look for infinity or NaN in float 8.
    return tf.cast(x, tf.float32) if x.dtype.size == 1 else x


def IsNaN(x):
    return tf.math.is_nan(in_wide_float(x))


def LeakyRelu(x, *, alpha=0.01):
    return tf.nn.leaky_relu(x, alpha) if alpha <= 1 else tf.where(x >= 0, x, alpha * x)


def Log(x):
    return tf.math.log(x)


def Mish(x):
    return x * tf.tanh(tf.nn.softplus(x))


def Neg(x):
    return widened(tf.negative, x)


def Not(x):
    return tf.logical_not(x)


def Reciprocal(x):
    return tf.math.reciprocal(x)


def Relu(x):
    return tf.nn.relu(x)


def Round(x):
    return tf.round(x)


def Selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return gamma * tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0)))


def Shrink(x, *, bias=0.0, lambd=0.5):
    if not is_float(x):
        lambd, bias, narrow, x = float(lambd), float(bias), x.dtype, tf.cast(x, tf.float64)
        return tf.cast(Shrink(x, bias=bias, lambd=lambd), narrow)
    return tf.where(x < -lambd, x + bias, tf.where(x > lambd, x - bias, tf.zeros_like(x)))


def Sigmoid(x):
    return tf.sigmoid(x)


def Sign(x):
    return tf.cast(x > 0, x.dtype) if x.dtype.is_unsigned else widened(tf.sign, x)


def Sin(x):
    return tf.sin(x)


def Sinh(x):
    return tf.sinh(x)


def Softplus(x):
    return tf.nn.softplus(x)


def Softsign(x):
    return tf.nn.softsign(x)


def Sqrt(x):
    return tf.sqrt(x)


def Swish(x, *, alpha=1.0):
    return tf.nn.silu(x) if alpha == 1 else x * tf.sigmoid(alpha * x)


def Tan(x):
    return tf.tan(x)


def Tanh(x):
    return tf.tanh(x)


def ThresholdedRelu(x, *, alpha=1.0):
    return tf.where(x > alpha, x, tf.zeros_like(x))


def BitwiseNot(x):
    return tf.bitwise.invert(x)


def Dropout(x, ratio=0.5, training_mode=0, *, seed=None):
    training = scalar(training_mode, "training_mode")
    ratio = scalar(ratio, "ratio")
    if not training or ratio == 0:
        return tf.identity(x), tf.ones(x.shape, tf.bool)
    if seed is not None:
        raise Unsupported(
            "seed={}: TensorFlow's generator gives other numbers than the seed was meant for".format(seed)
        )
    kept = tf.random.uniform(x.shape) >= ratio
    return tf.where(kept, x / (1 - ratio), tf.zeros_like(x)), kept


def Add(a, b):
    """A bias of the last axis has a kernel of its own, with the faster gradient."""
    b = as_row(b, a)
    a = as_row(a, b)
    if is_float(a) and a.dtype != tf.bfloat16:
        if len(a.shape) > 1 and extents(b) == extents(a)[-1:]:
            return tf.nn.bias_add(a, b)
        if len(b.shape) > 1 and extents(a) == extents(b)[-1:]:
            return tf.nn.bias_add(b, a)
    return widened(tf.add, a, b)


def Sub(a, b):
    return widened(tf.subtract, a, b)


def Mul(a, b):
    return widened(tf.multiply, a, b)


def Div(a, b):
    return tf.divide(a, b) if is_float(a) else widened(tf.truncatediv, a, b)


def Mod(a, b, *, fmod=0):
    # workaround: TensorFlow has no kernel of truncatemod for halves.
    if fmod and a.dtype.size == 2 and is_float(a):
        return tf.cast(tf.truncatemod(tf.cast(a, tf.float32), tf.cast(b, tf.float32)), a.dtype)
    if fmod and is_float(a) and target().training:
        return _differentiable_fmod(a, b)
    return widened(tf.truncatemod if fmod else tf.math.floormod, a, b)


def _differentiable_fmod(a, b):
    # workaround: TensorFlow has no gradient of truncatemod. It is that of a - b * n, with a whole n.
    right = tf.stop_gradient(tf.truncatemod(a, b))
    y = a - b * tf.stop_gradient(tf.round((a - right) / b))
    return y + tf.stop_gradient(right - y)


def Pow(a, b):
    if a.dtype == b.dtype and (is_float(a) or a.dtype in (tf.int32, tf.int64)):
        return tf.pow(a, b)
    if is_float(a):
        return tf.pow(a, tf.cast(b, a.dtype))
    # workaround: TensorFlow's pow takes no unsigned integers.
    return tf.cast(tf.pow(tf.cast(a, tf.float64), tf.cast(b, tf.float64)), a.dtype)


def PRelu(x, slope):
    return tf.where(x >= 0, x, Mul(x, slope))


def And(a, b):
    return tf.logical_and(a, b)


def Or(a, b):
    return tf.logical_or(a, b)


def Xor(a, b):
    return tf.math.logical_xor(a, b)


def Equal(a, b):
    return tf.equal(a, b)


def Greater(a, b):
    return tf.greater(a, b)


def GreaterOrEqual(a, b):
    return tf.greater_equal(a, b)


def Less(a, b):
    return tf.less(a, b)


def LessOrEqual(a, b):
    return tf.less_equal(a, b)


def BitShift(a, b, *, direction):
    """A shift by all bits or more (a negative one too) leaves nothing but the sign."""
    # workaround: TensorFlow shifts by one bit less than the type has where it should shift by all or more.
    bits = 8 * a.dtype.size
    beyond = b >= bits if a.dtype.is_unsigned else (b < 0) | (b >= bits)
    b = tf.where(beyond, tf.zeros_like(b), b)
    if direction == "LEFT":
        return tf.where(beyond, tf.zeros_like(a), tf.bitwise.left_shift(a, b))
    sign = tf.zeros_like(a) if a.dtype.is_unsigned else -tf.cast(a < 0, a.dtype)
    return tf.where(beyond, sign, tf.bitwise.right_shift(a, b))


def BitwiseAnd(a, b):
    return tf.bitwise.bitwise_and(a, b)


def BitwiseOr(a, b):
    return tf.bitwise.bitwise_or(a, b)


def BitwiseXor(a, b):
    return tf.bitwise.bitwise_xor(a, b)


def _folded(function, tensors):
    result = tensors[0]
    for x in tensors[1:]:
        result = widened(function, result, x)
    return result


def Max(*tensors):
    return _folded(tf.maximum, tensors)


def Min(*tensors):
    return _folded(tf.minimum, tensors)


def Sum(*tensors):
    return _folded(tf.add, tensors)


def Mean(*tensors):
    return _folded(tf.add, tensors) / len(tensors)


def Where(condition, a, b):
    return tf.where(condition, a, b)


def Clip(x, min=None, max=None):
    """Relu and Relu6 have kernels of their own, which Grappler merges into a convolution."""
    if is_float(x) and not tf.is_tensor(min) and min == 0 and (max is None or (not tf.is_tensor(max) and max == 6)):
        return tf.nn.relu(x) if max is None else tf.nn.relu6(x)
    if min is not None:
        x = widened(tf.maximum, x, _same_type(min, x))
    if max is not None:
        x = widened(tf.minimum, x, _same_type(max, x))
    return x


def _same_type(value, x):
    return tf.reshape(value, []) if tf.is_tensor(value) else tf.constant(value, x.dtype)


def Cast(x, *, to, saturate=1, round_mode="up"):
    if round_mode != "up":
        raise Unsupported("round_mode {!r}".format(round_mode))
    dtype = dtype_of(to)
    if x.dtype in NARROWEST:
        x = tf.cast(x, NARROWEST[x.dtype])
    if dtype == tf.bool:
        return tf.not_equal(x, tf.zeros_like(x))
    if dtype in NARROWEST:
        return tf.cast(tf.cast(tf.cast(x, tf.int32), NARROWEST[dtype]), dtype)
    if dtype.size == 1 and dtype.is_floating:
        return _to_float8(x, dtype, saturate)
    return tf.cast(x, dtype)


# workaround: TensorFlow casts four-bit integers from and to bytes only.
NARROWEST = {INT4: tf.int8, UINT4: tf.uint8}


def _to_float8(x, dtype, saturate):
    """ONNX's table of casts to float 8: with saturate, what is too large (and infinity) becomes the largest number."""
    if not is_float(x):
        x = tf.cast(x, tf.float32)
    if saturate:
        limit = float(dtype.max)
        clipped = tf.clip_by_value(tf.cast(x, tf.float32), -limit, limit)
        return tf.cast(tf.where(tf.math.is_nan(in_wide_float(x)), tf.cast(x, tf.float32), clipped), dtype)
    return tf.cast(x, dtype)


def CastLike(x, like, *, saturate=1):
    return Cast(x, to=like.dtype.name.replace("float8_", "float8"), saturate=saturate)


def BitCast(x, *, to):
    return tf.bitcast(tf.cast(x, tf.uint8) if x.dtype == tf.bool else x, dtype_of(to))
