"""Element types by ONNX's names, and casts between them."""

from __future__ import annotations

import numpy

import jax
import jax.numpy as jnp

from ..kit.arrays import CARRIERS, SMALL_INTEGERS
from ..kit.interface import Unsupported

_NAMES = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128
int2 int4 uint2 uint4"""
TYPES = {name: jnp.dtype(name) for name in _NAMES.split()}
TYPES.update(
    float8e4m3fn=jnp.dtype("float8_e4m3fn"),
    float8e4m3fnuz=jnp.dtype("float8_e4m3fnuz"),
    float8e5m2=jnp.dtype("float8_e5m2"),
    float8e5m2fnuz=jnp.dtype("float8_e5m2fnuz"),
    float8e8m0=jnp.dtype("float8_e8m0fnu"),
    float4e2m1=jnp.dtype("float4_e2m1fn"),
)
FLOAT8 = tuple(TYPES[name] for name in ("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"))
FLOAT4, EXPONENT = TYPES["float4e2m1"], TYPES["float8e8m0"]
#: Integers of fewer than eight bits, and the type that XLA's kernels take instead of them.
NARROW = {TYPES[name]: jnp.dtype("uint8" if name[0] == "u" else "int8") for name in SMALL_INTEGERS}


def type_of(name):
    """JAX's element type of that name."""
    if name not in TYPES:
        raise Unsupported("JAX has no element type {}".format(name))
    return TYPES[name]


def from_carrier(array, name):
    """An array of a bundle in its own element type: types that numpy lacks come as their bits or values."""
    kind = type_of(name)
    if array.dtype == kind or name not in CARRIERS:
        return array
    return (
        array.astype(kind) if name in SMALL_INTEGERS else numpy.ascontiguousarray(array).view(kind).reshape(array.shape)
    )


# workaround: JAX does not pass elements of fewer than eight bits to a function that was compiled ahead.
def staged_as(kind):
    """The element type in which inputs of that type are handed over."""
    return NARROW.get(kind, jnp.dtype("float32") if kind == FLOAT4 else kind)


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def is_integer(x):
    return jnp.issubdtype(x.dtype, jnp.integer)


def wide(x):
    """A half in float32, in which norms and sums of halves are taken."""
    return x.astype(jnp.float32) if x.dtype in (jnp.float16, jnp.bfloat16) else x


def cast(x, kind, saturate=True, round_mode="up"):
    """ONNX's Cast: of what a small float cannot hold, the largest finite one, unless `saturate` is false."""
    if x.dtype == kind:
        return x
    if x.dtype in NARROW:
        x = x.astype(NARROW[x.dtype])
    if kind in NARROW:
        return _narrowed(x, kind)
    if kind == EXPONENT:
        return _exponent(x.astype(jnp.float32), saturate, round_mode)
    if kind not in FLOAT8 and kind != FLOAT4:
        if x.dtype in FLOAT8 or x.dtype in (FLOAT4, EXPONENT):
            x = x.astype(jnp.float32)
        return x.astype(kind)
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.itemsize == 1:
        x = x.astype(jnp.float32)
    if saturate or kind == FLOAT4:
        largest = float(jnp.finfo(kind).max)
        x = jnp.where(jnp.isnan(x), x, jnp.clip(x, -largest, largest))
    return x.astype(kind)


def _narrowed(x, kind):
    """To an integer of a few bits: towards zero, and modulo its range."""
    x = x.astype(jnp.float32) if x.dtype in FLOAT8 or x.dtype in (FLOAT4, EXPONENT) else x
    return x.astype(jnp.int32).astype(NARROW[kind]).astype(kind)


def _exponent(x, saturate, round_mode):
    """Positive float32 as powers of two: the exponent's bits, rounded by the mantissa."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    exponent, mantissa = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    up = {"up": mantissa > 0, "down": mantissa < 0, "nearest": mantissa >= 0x400000}
    if round_mode not in up:
        raise Unsupported("round_mode {!r}".format(round_mode))
    limit = 0xFE if saturate else 0xFF
    rounded = jnp.minimum(exponent + up[round_mode].astype(jnp.uint32), limit)
    rounded = jnp.where(jnp.isnan(x), 0xFF, jnp.where(jnp.isinf(x), limit, rounded))
    return jax.lax.bitcast_convert_type(rounded.astype(jnp.uint8), EXPONENT)
