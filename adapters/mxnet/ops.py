"""ONNX operators on MXNet symbols: arithmetic, comparisons, element types and reductions; and helpers for all.

Every function takes and returns `symbols.Value`s, whose shapes and element types are known. An output that costs
something and is seldom wanted is returned as a function without parameters, called only where it is wanted.
"""

from __future__ import annotations

import functools

import numpy

from ..kit.interface import Unsupported
from .symbols import F, constant

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("uint8", "int8", "int32", "int64")


# Helpers, shared with the other ops modules.


def cast(x, dtype):
    if x.dtype == dtype:
        return x
    # workaround: MXNet's Cast hands gradients on even through integers, which have none
    return F.Cast(F.BlockGrad(x) if x.floating and dtype not in FLOATS else x, dtype=dtype)


def as_numbers(function, x):
    """`function` on a tensor, which it sees as uint8 where it is bool."""
    # workaround: most of MXNet's data movement does not take bool
    return cast(function(cast(x, "uint8")), "bool") if x.dtype == "bool" else function(x)


def reshape(x, shape):
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if x.dtype == "float32" and shape and 0 not in shape and max(x.ndim, len(shape)) <= 6:
        # workaround: _np_reshape passes MKL-DNN's blocked layout on under the new shape, and RNN and elemwise_add then
        # fail; beyond six axes MKL-DNN has no blocked layouts, and no Reshape either
        return F.Reshape(x, shape=shape)
    return F._np_reshape(x, newshape=shape)


def transpose(x, axes):
    axes = tuple(axes)
    if axes == tuple(range(x.ndim)):
        return x
    return as_numbers(lambda v: F.transpose(v, axes=axes), x)


def broadcast_to(x, shape):
    return x if x.shape == tuple(shape) else F._npi_broadcast_to(x, shape=tuple(shape))


def full(shape, number, dtype):
    """A constant tensor. It is made by the graph, not fed to it."""
    return F._npi_full(shape=tuple(shape), value=number, dtype=dtype)


def concatenate(values, axis):
    if len(values) == 1:
        return values[0]
    if values[0].floating:
        return F.Concat(*values, dim=axis, num_args=len(values))
    return F._npi_concatenate(*values, axis=axis, num_args=len(values))


def scaled(x, factor):
    return x if factor == 1 else F._npi_multiply_scalar(x, scalar=factor)


def require(x, types, what="this"):
    """Refuse element types for which MXNet's operator is missing or not exact."""
    if x.dtype not in types:
        raise Unsupported("MXNet does not do %s for %s" % (what, x.dtype))


def in_float32(function):
    """Let an operator function compute float16 in float32, and round the results."""

    # workaround: on a CPU, MXNet has these operators for float32 and float64 only
    @functools.wraps(function)
    def widened(x, *others, **attributes):
        if x.dtype != "float16":
            return function(x, *others, **attributes)
        wide = [cast(v, "float32") if v is not None and v.dtype == "float16" else v for v in (x,) + others]
        results = function(*wide, **attributes)
        if not isinstance(results, tuple):
            return cast(results, "float16")
        return tuple(v if callable(v) or v.dtype != "float32" else cast(v, "float16") for v in results)

    return widened


def common_shape(*values):
    return numpy.broadcast_shapes(*(value.shape for value in values))


def normalized_axes(axes, rank):
    return tuple(sorted(axis % rank for axis in axes)) if rank else ()


# Arithmetic.


def _binary(name, a, b, same):
    """A broadcasting operator; its faster kinds where one side is a constant number or the shapes are equal."""
    if _is_number(b, a):
        return getattr(F, name + "_scalar")(a, scalar=float(b.array.reshape(())))
    if a.shape == b.shape:
        # workaround: where one operand needs no gradient, a static CachedOp makes elemwise_add's of the other wrong
        return getattr(F, same if a.fixed == b.fixed else name)(a, b)
    rank = max(a.ndim, b.ndim)
    if a.dtype == b.dtype == "float32" and 0 < rank <= 5 and 0 not in a.shape + b.shape:
        # Its gradient is faster than that of numpy's operator.
        sides = [reshape(value, (1,) * (rank - value.ndim) + value.shape) for value in (a, b)]
        return getattr(F, same.replace("elemwise", "broadcast"))(*sides)
    return getattr(F, name)(a, b)


def _is_number(value, other):
    """Whether a value is one constant number that leaves the other's shape alone."""
    return value.array is not None and value.size == 1 and value.ndim <= other.ndim and other.floating


def Add(a, b):
    if _is_number(a, b):
        a, b = b, a
    return _add_bias(a, b) or _add_bias(b, a) or _binary("_npi_add", a, b, "elemwise_add")


def _add_bias(product, bias):
    """FullyConnected with its bias where a product is used by this addition alone, else None."""
    if product.linear is None or bias.shape != product.shape[-1:] or bias.dtype != product.dtype:
        return None
    return affine(*product.linear, bias)


def affine(x, weight, bias=None):
    """x @ weight.T + bias on the last axis; weight (outputs, inputs), bias (outputs,)."""
    units = weight.shape[0]
    if bias is not None and bias.fixed == weight.fixed:
        return F.FullyConnected(x, weight, bias, num_hidden=units, flatten=False)
    product = F.FullyConnected(x, weight, num_hidden=units, no_bias=True, flatten=False)
    # workaround: FullyConnected leaves out the gradient of its bias where its weight needs none
    return product if bias is None else F._npi_add(product, bias)


def product(a, b):
    """a @ b of floats; both broadcast at most one way. batch_dot's gradient is faster than that of numpy's matmul."""
    if a.ndim < 3 or a.shape[:-2] != b.shape[:-2] or 0 in a.shape + b.shape:
        return F._npi_matmul(a, b)
    batch = int(numpy.prod(a.shape[:-2]))
    flat = [reshape(value, (batch,) + value.shape[-2:]) for value in (a, b)]
    return reshape(F.batch_dot(*flat), a.shape[:-1] + b.shape[-1:])


def Sub(a, b):
    return _binary("_npi_subtract", a, b, "elemwise_sub")


def Mul(a, b):
    if _is_number(a, b):
        a, b = b, a
    return _scaled_product(a, b) or _binary("_npi_multiply", a, b, "elemwise_mul")


def _scaled_product(result, factor):
    """A product of matrices times a number, as the product of a scaled matrix, where that is the smaller; else None."""
    if result.product is None or not _is_number(factor, result):
        return None
    left, right = result.product
    number = float(factor.array.reshape(()))
    if min(left.size, right.size) >= result.size:
        return None
    if left.size <= right.size:
        return product(scaled(left, number), right)
    return product(left, scaled(right, number))


def Div(a, b):
    """Integers divide towards zero, which MXNet's numpy operator does not do and its older one does."""
    if a.floating:
        return _binary("_npi_true_divide", a, b, "elemwise_div")
    # workaround: an integer divided by zero would end the process; it is 0, as in numpy
    zero = full((), 0, a.dtype)
    none = F._npi_equal(b, zero)
    quotient = F.broadcast_div(a, Where(none, full((), 1, a.dtype), b))
    return Where(none, zero, quotient)


def Mod(a, b, *, fmod=0):
    """The remainder has the sign of the divisor; with fmod that of the dividend."""
    # workaround: MXNet's remainder goes through float64, too small for int64, and is 0 where the divisor is
    if a.floating:
        rest = Mul(F._npi_mod(Abs(a), Abs(b)), F._npi_sign(a)) if fmod else F._npi_mod(a, b)
        return Where(F._npi_equal(b, full((), 0, b.dtype)), full((), numpy.nan, a.dtype), rest)
    rest = Sub(a, Mul(Div(a, b), b))
    if fmod:
        return rest
    zero = full((), 0, a.dtype)
    other_side = F._npi_not_equal(F._npi_less(rest, zero), F._npi_less(b, zero))
    correct = And(other_side, F._npi_not_equal(rest, zero))
    return Where(correct, Add(rest, b), rest)


def Pow(x, exponent):
    if exponent.array is not None and exponent.size == 1 and x.floating and exponent.ndim <= x.ndim:
        number = float(exponent.array.reshape(()))
        if number == 2:
            return squared(x)
        return F._npi_power_scalar(x, scalar=number)
    if x.floating:
        return F._npi_power(x, cast(exponent, x.dtype))
    rounded = cast(F._npi_power(cast(x, "float64"), cast(exponent, "float64")), x.dtype)
    return rounded if exponent.floating else _integer_power(x, exponent, rounded)


def _integer_power(x, exponent, rounded):
    """Exponents up to 63, by squaring."""
    # workaround: MXNet's power goes through float64, too small for int64
    exponent = cast(exponent, "int64")
    result, square, one = broadcast_to(full((), 1, x.dtype), common_shape(x, exponent)), x, full((), 1, x.dtype)
    for bit in (1, 2, 4, 8, 16, 32):
        chosen = cast(F._npi_bitwise_and(exponent, full((), bit, "int64")), "bool")
        result = Mul(result, Where(chosen, square, one))
        square = Mul(square, square)
    return Where(F._npi_less(exponent, full((), 0, "int64")), rounded, result)


def Sum(*tensors):
    return _fold(Add, tensors)


def Mean(*tensors):
    return scaled(Sum(*tensors), 1 / len(tensors))


def Max(*tensors):
    return _fold(lambda a, b: F._npi_maximum(a, b), tensors)


def Min(*tensors):
    return _fold(lambda a, b: F._npi_minimum(a, b), tensors)


def _fold(function, tensors):
    result = tensors[0]
    for tensor in tensors[1:]:
        result = function(result, tensor)
    return result


def Neg(x):
    return F._npi_negative(x)


def Abs(x):
    if x.dtype != "int64":
        return F._npi_abs(x)
    # workaround: _npi_abs goes through float64, too small for int64
    return Where(F._npi_less(x, full((), 0, "int64")), Neg(x), x)


def squared(x):
    return F.square(x) if x.floating else Mul(x, x)


def Sign(x):
    return F._npi_sign(x)


def Reciprocal(x):
    return F._npi_reciprocal(x)


def Sqrt(x):
    return F._npi_sqrt(x)


def Exp(x):
    return F._npi_exp(x)


def Log(x):
    return F._npi_log(x)


def Floor(x):
    return F._npi_floor(x)


def Ceil(x):
    return F._npi_ceil(x)


def Round(x):
    # workaround: MXNet's rint rounds halves down, ONNX to even
    return F._npi_around(x)


def Erf(x):
    return F.erf(x)


def Sin(x):
    return F._npi_sin(x)


def Cos(x):
    return F._npi_cos(x)


def Tan(x):
    return F._npi_tan(x)


def Asin(x):
    return F._npi_arcsin(x)


def Acos(x):
    return F._npi_arccos(x)


def Atan(x):
    return F._npi_arctan(x)


def Sinh(x):
    return F._npi_sinh(x)


def Cosh(x):
    return F._npi_cosh(x)


def Asinh(x):
    return F._npi_arcsinh(x)


def Acosh(x):
    return F._npi_arccosh(x)


def Atanh(x):
    return F._npi_arctanh(x)


def Clip(x, *, min=None, max=None):
    if min is None and max is None:
        return F._copy(x)
    if x.dtype == "float32" or (x.dtype == "float16" and None not in (min, max)):
        low = -numpy.inf if min is None else min
        high = numpy.inf if max is None else max
        return F.clip(x, a_min=min_of(low, high), a_max=high)
    # workaround: MXNet's clip gets its bounds as float32, too small for integers beyond 2**24
    if min is not None:
        x = F._npi_maximum(x, constant(numpy.array(min, x.dtype)))
    return x if max is None else F._npi_minimum(x, constant(numpy.array(max, x.dtype)))


def min_of(low, high):
    return low if low < high else high


# Comparisons and logic.


def Equal(a, b):
    return F._npi_equal(a, b)


def Greater(a, b):
    return F._npi_greater(a, b)


def GreaterOrEqual(a, b):
    return F._npi_greater_equal(a, b)


def Less(a, b):
    return F._npi_less(a, b)


def LessOrEqual(a, b):
    return F._npi_less_equal(a, b)


def And(a, b):
    # workaround: MXNet's logical and bitwise operators do not broadcast bool
    return F._npi_multiply(a, b)


def Or(a, b):
    # workaround: MXNet's logical and bitwise operators do not broadcast bool
    return F._npi_add(a, b)


def Xor(a, b):
    return F._npi_not_equal(a, b)


def Not(x):
    return F._npi_logical_not(x)


def BitwiseAnd(a, b):
    return F._npi_bitwise_and(a, b)


def BitwiseOr(a, b):
    return F._npi_bitwise_or(a, b)


def BitwiseXor(a, b):
    return F._npi_bitwise_xor(a, b)


def BitwiseNot(x):
    return F._npi_bitwise_not(x)


def BitShift(x, bits, *, direction):
    """Shifts by multiplying with or dividing by powers of two; to the right rounding down, as an arithmetic shift.

    Counts that are negative or beyond 63 shift everything out.
    """
    wide, bits = cast(x, "int64"), cast(bits, "int64")
    zero, most = full((), 0, "int64"), full((), 63, "int64")
    inside = And(F._npi_greater_equal(bits, zero), F._npi_less_equal(bits, most))
    count = Where(inside, bits, most)
    half = Div(count, full((), 2, "int64"))
    for part in (half, Sub(count, half)):  # in two, for 2**63 is not an int64
        power = Pow(full((), 2, "int64"), part)
        wide = Mul(wide, power) if direction == "LEFT" else Div(Sub(wide, Mod(wide, power)), power)
    return cast(Where(inside, wide, zero) if direction == "LEFT" else wide, x.dtype)


def IsNaN(x):
    return F._npi_isnan(x)


def IsInf(x, *, detect_negative=1, detect_positive=1):
    if detect_negative and detect_positive:
        return F._npi_isinf(x)
    if not detect_negative and not detect_positive:
        return full(x.shape, 0, "bool")
    return F._npi_isposinf(x) if detect_positive else F._npi_isneginf(x)


def Where(condition, x, y):
    values = [condition, x, y]
    # workaround: MXNet's where has at most five axes
    if max(value.ndim for value in values) > 5:
        shape = common_shape(*values)
        if any(value.shape not in (shape, (), (1,)) for value in values):
            raise Unsupported("MXNet's where has at most five axes where shapes differ")
        flat = [value if value.shape in ((), (1,)) else reshape(value, (value.size,)) for value in values]
        return reshape(F._npi_where(*flat), shape)
    return F._npi_where(*values)


# Element types.


def Cast(x, *, to, saturate=1, round_mode="up"):
    if to not in FLOATS + INTEGERS + ("bool",):
        raise Unsupported("MXNet has no element type " + to)
    return cast(x, to)


def CastLike(x, target, *, saturate=1, round_mode="up"):
    return cast(x, target.dtype)


def Identity(x):
    return F._copy(x)


# Reductions.


#: What a reduction of no elements at all gives.
_EMPTY = {"_np_sum": 0, "_np_prod": 1, "_npi_mean": numpy.nan, "_np_max": -numpy.inf, "_np_min": numpy.inf}


def _reduce(name, x, axes, keepdims, noop):
    """axes absent or empty: none of them where noop is set, else all."""
    if not axes:
        axes = () if noop else range(x.ndim)
    axes = normalized_axes(axes, x.ndim)
    if not axes:
        return F._copy(x)
    if x.size == 0:
        shape = numpy.zeros(x.shape).any(axes, keepdims=bool(keepdims)).shape
        return constant(numpy.full(shape, _lowest_or_highest(_EMPTY[name], x.dtype)).astype(x.dtype))
    return getattr(F, name)(x, axis=axes, keepdims=bool(keepdims))


def _lowest_or_highest(number, dtype):
    """A number of this type that stands for infinity where it has none."""
    if not numpy.isinf(number) or dtype in FLOATS:
        return number
    if dtype == "bool":
        return number > 0
    info = numpy.iinfo(dtype)
    return info.max if number > 0 else info.min


def ReduceSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("_np_sum", x, axes, keepdims, noop_with_empty_axes)


def ReduceMean(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "ReduceMean")
    return _reduce("_npi_mean", x, axes, keepdims, noop_with_empty_axes)


def ReduceProd(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("_np_prod", x, axes, keepdims, noop_with_empty_axes)


def ReduceMax(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("_np_max", x, axes, keepdims, noop_with_empty_axes)


def ReduceMin(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return _reduce("_np_min", x, axes, keepdims, noop_with_empty_axes)


def ReduceL1(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return ReduceSum(Abs(x), axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)


def ReduceSumSquare(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    return ReduceSum(squared(x), axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)


def ReduceL2(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "ReduceL2")
    squares = ReduceSumSquare(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
    return F._npi_sqrt(squares)


def ReduceLogSum(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "ReduceLogSum")
    return F._npi_log(ReduceSum(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes))


def ReduceLogSumExp(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
    require(x, FLOATS, "ReduceLogSumExp")
    if x.size == 0 or (not axes and noop_with_empty_axes):
        exponentials = F._npi_exp(x)
        return ReduceLogSum(exponentials, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
    top = F.BlockGrad(ReduceMax(x, axes=axes, keepdims=1))
    total = ReduceLogSum(F._npi_exp(F._npi_subtract(x, top)), axes=axes, keepdims=keepdims)
    return F._npi_add(total, reshape(top, total.shape))


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("_npi_argmax", x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg("_npi_argmin", x, axis, keepdims, select_last_index)


def _arg(name, x, axis, keepdims, last):
    if last:
        x = F.reverse(x, axis=axis % x.ndim)
    found = getattr(F, name)(x, axis=axis, keepdims=bool(keepdims))
    if not last:
        return found
    return F._npi_subtract(full((), x.shape[axis] - 1, "int64"), found)


def CumSum(x, *, axis, exclusive=0, reverse=0):
    axis %= x.ndim
    if reverse:
        x = F.reverse(x, axis=axis)
    total = F._np_cumsum(x, axis=axis)
    if exclusive:
        total = F._npi_subtract(total, x)
    return F.reverse(total, axis=axis) if reverse else total


def CumProd(x, *, axis, exclusive=0, reverse=0):
    """Products over one masked axis more."""
    # workaround: MXNet has no running product
    axis = int(numpy.asarray(axis).reshape(())) % x.ndim
    extent = x.shape[axis]
    mask = numpy.tril(numpy.ones((extent, extent), bool), -1 if exclusive else 0)
    mask = (mask.T if reverse else mask).reshape((1,) * axis + (extent, extent) + (1,) * (x.ndim - axis - 1))
    rows = reshape(x, x.shape[:axis] + (1, extent) + x.shape[axis + 1 :])
    return F._np_prod(Where(constant(mask), rows, full((), 1, x.dtype)), axis=axis + 1)


def Det(x):
    require(x, ("float32", "float64"), "Det")
    return F._npi_det(x)


def Einsum(*tensors, equation):
    require(tensors[0], FLOATS, "Einsum")
    return F._npi_einsum(*tensors, subscripts=equation.replace(" ", ""), num_args=len(tensors))
