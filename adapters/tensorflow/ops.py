"""One function per ONNX operator, in TensorFlow.

Operators of images take layout="NHWC" from the layout planner; without it they transpose around TensorFlow's
channels-last kernels, the only ones that a CPU has.
"""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from . import recurrent
from .resize import resized
from .sampling import deformed_convolution, grid_sample, region_align
from .target import target
from .windows import (
    Window,
    average_pool,
    convolve,
    convolve_transposed,
    kernel_to_channels_last,
    lowest,
    max_pool,
    sum_pool,
    to_channels_first,
    to_channels_last,
)

# ---------------------------------------------------------------- helpers

#: Element types of ONNX that TensorFlow's kernels can cast, and its names for them.
TYPES = {
    name: name
    for name in """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64
    complex128 int4 uint4""".split()  # noqa: SIM905
}
TYPES.update(float8e4m3fn="float8_e4m3fn", float8e5m2="float8_e5m2")
INT4, UINT4 = tf.dtypes.experimental.int4, tf.dtypes.experimental.uint4


def dtype_of(name):
    """The TensorFlow type of an element type's name."""
    if name not in TYPES:
        raise Unsupported("TensorFlow computes with no type {}".format(name))
    return tf.as_dtype(TYPES[name])


def known(value, what):
    """A steering operand as a number or list; where it is a tensor, it must be a constant."""
    if not tf.is_tensor(value):
        return value
    static = tf.get_static_value(value)
    if static is None:
        raise Unsupported("{} is not a constant".format(what))
    return static.tolist()


def scalar(value, what):
    value = known(value, what)
    return value[0] if isinstance(value, list) else value


def extents(x):
    """The shape as a list; every tensor of a Program has one."""
    if None in x.shape.as_list():
        raise Unsupported("a shape that depends on data")
    return x.shape.as_list()


def channelwise(v, x):
    """[C] so that it broadcasts against [N, C, ...]."""
    return tf.reshape(v, [-1] + [1] * (len(x.shape) - 2))


def on_images(x, layout, function):
    """Apply a channels-last function to an image of either layout."""
    if layout == "NHWC":
        return function(x)
    return to_channels_first(function(to_channels_last(x)))


#: Types that few TensorFlow kernels take, and one that holds all their values.
WIDER = {tf.bool: tf.int32, tf.int8: tf.int32, tf.uint8: tf.int32, tf.int16: tf.int32, tf.uint16: tf.int32}
WIDER[tf.uint32] = tf.int64


def widened(function, *tensors):
    """Through a wider integer type and back, which keeps sums, products and comparisons exact (modulo 2**n)."""
    dtype = tensors[0].dtype
    if dtype not in WIDER:
        return function(*tensors)
    return tf.cast(function(*(tf.cast(x, WIDER[dtype]) for x in tensors)), dtype)


def in_float(function, *tensors):
    """In float32 where the type is a half, whose kernels round between the steps."""
    dtype = tensors[0].dtype
    if dtype not in (tf.float16, tf.bfloat16):
        return function(*tensors)
    return tf.cast(function(*(tf.cast(x, tf.float32) for x in tensors)), dtype)


def is_float(x):
    return x.dtype.is_floating


# ---------------------------------------------------------------- one operand


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


# ---------------------------------------------------------------- two operands and more


def Add(a, b):
    """A bias of the last axis has a kernel of its own, with the faster gradient."""
    a, b = _as_row(a, b), _as_row(b, a)
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
    if fmod and a.dtype.size == 2 and is_float(a):
        return tf.cast(tf.truncatemod(tf.cast(a, tf.float32), tf.cast(b, tf.float32)), a.dtype)
    return widened(tf.truncatemod if fmod else tf.math.floormod, a, b)


def Pow(a, b):
    if a.dtype == b.dtype and (is_float(a) or a.dtype in (tf.int32, tf.int64)):
        return tf.pow(a, b)
    if is_float(a):
        return tf.pow(a, tf.cast(b, a.dtype))
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


# ---------------------------------------------------------------- types


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


#: Four-bit types are cast by way of bytes only.
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


# ---------------------------------------------------------------- shapes


def Reshape(x, shape, *, allowzero=0):
    shape = known(shape, "shape")
    if not allowzero:
        shape = [x.shape[i] if extent == 0 else extent for i, extent in enumerate(shape)]
    return tf.reshape(x, shape)


def Flatten(x, *, axis=1):
    shape = extents(x)
    axis = axis if axis >= 0 else axis + len(shape)
    return tf.reshape(x, [element_count(shape[:axis]), element_count(shape[axis:])])


def Transpose(x, *, perm=None):
    return tf.transpose(x, perm)


def Squeeze(x, axes=None):
    return tf.squeeze(x, known(axes, "axes"))


def Unsqueeze(x, axes):
    axes = known(axes, "axes")
    rank = len(x.shape) + len(axes)
    at = {axis % rank for axis in axes}
    rest = iter(extents(x))
    return tf.reshape(x, [1 if i in at else next(rest) for i in range(rank)])


def Expand(x, shape):
    shape = [int(e) for e in numpy.broadcast_shapes(tuple(extents(x)), tuple(known(shape, "shape")))]
    return tf.broadcast_to(x, shape)


def Tile(x, repeats):
    return tf.tile(x, known(repeats, "repeats"))


def Shape(x, *, start=0, end=None):
    return tf.constant(extents(x)[start:end], tf.int64)


def Size(x):
    return tf.constant(element_count(extents(x)), tf.int64)


def Concat(*tensors, axis):
    return tf.concat(tensors, axis)


def Split(x, split=None, *, axis=0, num_outputs=None):
    if split is None:
        extent = extents(x)[axis]
        size = -(-extent // num_outputs)
        split = [size] * (num_outputs - 1) + [extent - size * (num_outputs - 1)]
    return tuple(tf.split(x, known(split, "split"), axis))


def Slice(x, starts, ends, axes=None, steps=None):
    starts, ends = known(starts, "starts"), known(ends, "ends")
    axes = list(range(len(starts))) if axes is None else known(axes, "axes")
    steps = [1] * len(starts) if steps is None else known(steps, "steps")
    shape = extents(x)
    slices = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        first, last, step = slice(start, end, step).indices(shape[axis])
        # A last of -1 means "through the first element", which a slice says with None.
        slices[axis] = slice(first, None if last < 0 else last, step)
        if (last - first) * step <= 0:
            slices[axis] = slice(0, 0)
    return x[tuple(slices)]


def Pad(x, pads, constant_value=None, axes=None, *, mode="constant"):
    pads, axes = known(pads, "pads"), known(axes, "axes")
    rank = len(x.shape)
    axes = range(rank) if axes is None else axes
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis] = (pads[i], pads[i + len(axes)])
    for axis, pair in enumerate(pairs):
        if min(pair) < 0:
            cut = slice(max(-pair[0], 0), extents(x)[axis] - max(-pair[1], 0))
            x = x[(slice(None),) * axis + (cut,)]
    pairs = [[max(begin, 0), max(end, 0)] for begin, end in pairs]
    if mode == "constant":
        value = 0 if constant_value is None else constant_value
        value = tf.cast(tf.reshape(value, []), x.dtype) if tf.is_tensor(value) else tf.constant(value, x.dtype)
        return tf.pad(x, pairs, constant_values=value)
    for axis, pair in enumerate(pairs):
        if any(pair):
            x = tf.gather(x, numpy.pad(numpy.arange(extents(x)[axis]), pair, mode=mode), axis=axis)
    return x


def CenterCropPad(x, shape, *, axes=None):
    wanted = known(shape, "shape")
    for axis, extent in zip(range(len(x.shape)) if axes is None else axes, wanted):
        have = extents(x)[axis]
        before = abs(extent - have) // 2
        if extent < have:
            axis = axis % len(x.shape)
            x = x[(slice(None),) * axis + (slice(before, before + extent),)]
        elif extent > have:
            x = Pad(x, [before, extent - have - before], axes=[axis])
    return x


def Trilu(x, k=0, *, upper=1):
    k = scalar(k, "k")
    rows, columns = extents(x)[-2:]
    kept = numpy.triu(numpy.ones((rows, columns), bool), k) if upper else numpy.tri(rows, columns, k, bool)
    return tf.where(kept, x, tf.zeros_like(x))


def DepthToSpace(x, *, blocksize, mode="DCR", layout="NCHW"):
    if mode == "DCR":
        return on_images(x, layout, lambda x: tf.nn.depth_to_space(x, blocksize) if blocksize > 1 else x)

    def column_row(x):
        n, h, w, c = extents(x)
        x = tf.reshape(x, [n, h, w, c // blocksize**2, blocksize, blocksize])
        return tf.reshape(tf.transpose(x, [0, 1, 4, 2, 5, 3]), [n, h * blocksize, w * blocksize, -1])

    return on_images(x, layout, column_row)


def SpaceToDepth(x, *, blocksize, mode="DCR", layout="NCHW"):
    if mode == "DCR":
        return on_images(x, layout, lambda x: tf.nn.space_to_depth(x, blocksize) if blocksize > 1 else x)

    def column_row(x):
        n, h, w, c = extents(x)
        x = tf.reshape(x, [n, h // blocksize, blocksize, w // blocksize, blocksize, c])
        return tf.reshape(tf.transpose(x, [0, 1, 3, 5, 2, 4]), [n, h // blocksize, w // blocksize, -1])

    return on_images(x, layout, column_row)


def Col2Im(x, image_shape, block_shape, *, dilations=None, pads=None, strides=None):
    """Sums overlapping blocks: the gradient of cutting them out."""
    image, block = known(image_shape, "image_shape"), known(block_shape, "block_shape")
    rank = len(image)
    dilations, strides, pads = dilations or [1] * rank, strides or [1] * rank, pads or [0] * (2 * rank)
    padded = [image[i] + pads[i] + pads[i + rank] for i in range(rank)]
    counts = [(padded[i] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in range(rank)]
    taps = numpy.stack(numpy.meshgrid(*[numpy.arange(b) * d for b, d in zip(block, dilations)], indexing="ij"), -1)
    at = numpy.stack(numpy.meshgrid(*[numpy.arange(c) * s for c, s in zip(counts, strides)], indexing="ij"), -1)
    where = taps.reshape(-1, 1, rank) + at.reshape(1, -1, rank)
    flat = numpy.ravel_multi_index(tuple(where.reshape(-1, rank).T), padded)
    n, channels = extents(x)[0], extents(x)[1] // element_count(block)
    values = tf.transpose(tf.reshape(x, [n * channels, -1]))
    summed = tf.transpose(tf.math.unsorted_segment_sum(values, flat, element_count(padded)))
    summed = tf.reshape(summed, [n, channels] + padded)
    return summed[(slice(None),) * 2 + tuple(slice(pads[i], pads[i] + image[i]) for i in range(rank))]


# ---------------------------------------------------------------- constants and ranges


def ConstantOfShape(input, *, value=None):
    value = numpy.zeros(1, numpy.float32) if value is None else value
    return tf.fill(known(input, "shape"), tf.constant(value.reshape(())))


def EyeLike(x, *, dtype=None, k=0):
    return tf.constant(numpy.eye(*extents(x), k=k), x.dtype if dtype is None else dtype_of(dtype))


def Range(start, limit, delta):
    return tf.range(start, limit, delta)


def OneHot(indices, values, depth, *, axis=-1):
    depth = int(scalar(depth, "depth"))
    axis = axis % (len(indices.shape) + 1)
    indices = tf.cast(indices, tf.int64)
    indices = tf.where(indices < 0, indices + depth, indices)
    chosen = tf.one_hot(indices, depth, on_value=True, off_value=False, axis=axis, dtype=tf.bool)
    return tf.where(chosen, values[1], values[0])


# ---------------------------------------------------------------- gather and scatter


def _not_negative(indices, extent):
    """ONNX counts a negative index from the end."""
    static = tf.get_static_value(indices)
    if static is not None:
        return numpy.where(static < 0, static + extent, static)
    return tf.where(indices < 0, indices + tf.cast(extent, indices.dtype), indices)


def Gather(x, indices, *, axis=0):
    return tf.gather(x, _not_negative(indices, extents(x)[axis]), axis=axis)


def _element_places(x, indices, axis):
    """The full coordinates that GatherElements and ScatterElements mean: [..., rank]."""
    shape = extents(indices)
    indices = tf.cast(_not_negative(indices, extents(x)[axis]), tf.int64)
    grid = numpy.meshgrid(*[numpy.arange(extent) for extent in shape], indexing="ij")
    axis = axis % len(shape)
    return tf.stack([indices if i == axis else tf.constant(places) for i, places in enumerate(grid)], axis=-1)


def GatherElements(x, indices, *, axis=0):
    return tf.gather_nd(x, _element_places(x, indices, axis))


def GatherND(x, indices, *, batch_dims=0):
    shape = extents(x)[batch_dims : batch_dims + extents(indices)[-1]]
    return tf.gather_nd(x, _not_negative(indices, numpy.array(shape)), batch_dims=batch_dims)


def _multiplied(x, places, updates):
    """Several factors may fall on one place, so they are multiplied as segments."""
    shape = extents(x)
    depth = extents(places)[-1]
    rows, rest = element_count(shape[:depth]), list(shape[depth:])
    strides = numpy.array([element_count(shape[i + 1 : depth]) for i in range(depth)])
    flat = tf.reshape(tf.reduce_sum(tf.cast(places, tf.int64) * strides, axis=-1), [-1])
    factors = tf.math.unsorted_segment_prod(tf.reshape(updates, [-1] + rest), flat, rows)
    return x * tf.reshape(factors, shape)


def _scattered(x, places, updates, reduction):
    if reduction == "mul":
        return _multiplied(x, places, updates)
    operation = {
        "none": tf.tensor_scatter_nd_update,
        "add": tf.tensor_scatter_nd_add,
        "min": tf.tensor_scatter_nd_min,
        "max": tf.tensor_scatter_nd_max,
    }.get(reduction)
    if operation is None:
        raise Unsupported("reduction {!r}".format(reduction))
    return operation(x, places, updates)


def ScatterElements(x, indices, updates, *, axis=0, reduction="none"):
    return _scattered(x, _element_places(x, indices, axis), updates, reduction)


def ScatterND(x, indices, updates, *, reduction="none"):
    shape = extents(x)[: extents(indices)[-1]]
    places = tf.convert_to_tensor(_not_negative(indices, numpy.array(shape)))
    return _scattered(x, places, updates, reduction)


def TensorScatter(past, update, write_indices=None, *, axis=-2, mode="linear"):
    """Writes `update` along an axis, from a position that each batch element has for itself."""
    shape, new = extents(past), extents(update)
    axis = axis % len(shape)
    starts = tf.zeros([shape[0]], tf.int64) if write_indices is None else tf.cast(write_indices, tf.int64)
    at = tf.expand_dims(starts, 1) + tf.range(new[axis], dtype=tf.int64)
    if mode == "circular":
        at = at % shape[axis]
    places = tf.reshape(at, [shape[0]] + [1] * (axis - 1) + [new[axis]] + [1] * (len(shape) - axis - 1))
    return ScatterElements(past, tf.broadcast_to(places, new), update, axis=axis)


def ReverseSequence(x, lengths, *, batch_axis=1, time_axis=0):
    return tf.reverse_sequence(x, lengths, seq_axis=time_axis, batch_axis=batch_axis)


def Compress(x, condition, *, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.gather(x, tf.reshape(tf.where(condition), [-1]), axis=axis)


def NonZero(x):
    return tf.transpose(tf.where(tf.not_equal(x, tf.zeros_like(x))))


# ---------------------------------------------------------------- order


def _sorted_axis(x, axis, function):
    """Apply a function of the last axis to another one."""
    rank = len(x.shape)
    axis = axis % rank
    if axis == rank - 1:
        return function(x)
    perm = [i for i in range(rank) if i != axis] + [axis]
    back = numpy.argsort(perm)
    return tuple(tf.transpose(part, back) for part in function(tf.transpose(x, perm)))


def TopK(x, K, *, axis=-1, largest=1, sorted=1):
    K = int(scalar(K, "K"))

    def top(x):
        if largest:
            return tuple(tf.math.top_k(x, K, index_type=tf.int64))
        turned = tf.negative if is_float(x) else tf.bitwise.invert
        values, indices = tf.math.top_k(turned(x), K, index_type=tf.int64)
        return turned(values), indices

    return _sorted_axis(x, axis, top)


def _arg(function, x, axis, keepdims, select_last_index):
    if select_last_index:
        found = extents(x)[axis] - 1 - function(tf.reverse(x, [axis]), axis, tf.int64)
    else:
        found = function(x, axis, tf.int64)
    return tf.expand_dims(found, axis) if keepdims else found


def ArgMax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(tf.argmax, x, axis, keepdims, select_last_index)


def ArgMin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _arg(tf.argmin, x, axis, keepdims, select_last_index)


def CumSum(x, axis, *, exclusive=0, reverse=0):
    return tf.cumsum(x, scalar(axis, "axis"), bool(exclusive), bool(reverse))


def CumProd(x, axis, *, exclusive=0, reverse=0):
    return tf.math.cumprod(x, scalar(axis, "axis"), bool(exclusive), bool(reverse))


# ---------------------------------------------------------------- reductions


def _reduced(function, x, axes, keepdims, noop_with_empty_axes, each=None):
    """`each` is what the reduction does to a single element, for the case without axes."""
    axes = known(axes, "axes")
    if not axes:
        if noop_with_empty_axes:
            return each(x) if each else x
        axes = None
    return widened(lambda x: function(x, axis=axes, keepdims=bool(keepdims)), x)


def _reduced_bool(function, x, axes, keepdims, noop_with_empty_axes):
    axes = known(axes, "axes")
    return x if not axes and noop_with_empty_axes else function(x, axes or None, bool(keepdims))


def ReduceSum(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes)


def ReduceMean(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_mean, x, axes, keepdims, noop_with_empty_axes)


def ReduceMax(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    if x.dtype == tf.bool:
        return _reduced_bool(tf.reduce_any, x, axes, keepdims, noop_with_empty_axes)
    return _reduced(tf.reduce_max, x, axes, keepdims, noop_with_empty_axes)


def ReduceMin(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    if x.dtype == tf.bool:
        return _reduced_bool(tf.reduce_all, x, axes, keepdims, noop_with_empty_axes)
    return _reduced(tf.reduce_min, x, axes, keepdims, noop_with_empty_axes)


def ReduceProd(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_prod, x, axes, keepdims, noop_with_empty_axes)


def ReduceL1(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, Abs(x), axes, keepdims, noop_with_empty_axes)


def ReduceL2(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return tf.sqrt(_reduced(tf.reduce_sum, tf.square(x), axes, keepdims, noop_with_empty_axes))


def ReduceSumSquare(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_sum, tf.square(x), axes, keepdims, noop_with_empty_axes)


def ReduceLogSum(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return tf.math.log(_reduced(tf.reduce_sum, x, axes, keepdims, noop_with_empty_axes))


def ReduceLogSumExp(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    return _reduced(tf.reduce_logsumexp, x, axes, keepdims, noop_with_empty_axes)


# ---------------------------------------------------------------- products


def MatMul(a, b):
    if len(a.shape) == 1 and len(b.shape) == 1:
        return tf.reduce_sum(a * b)
    if len(a.shape) == 1:
        return tf.squeeze(MatMul(tf.expand_dims(a, 0), b), -2)
    if len(b.shape) == 1:
        return tf.squeeze(MatMul(a, tf.expand_dims(b, 1)), -1)
    if a.dtype in (tf.float16, tf.bfloat16) and target().device == "cpu":
        raise Unsupported("{} on a CPU: rounded at every step, it misses ONNX's tolerances".format(a.dtype.name))
    if len(a.shape) > 2 and len(b.shape) == 2:
        # One product over all rows, as Keras does: the gradient of the matrix is one product too.
        shape = extents(a)
        return tf.reshape(
            MatMul(tf.reshape(a, [element_count(shape[:-1]), shape[-1]]), b), shape[:-1] + extents(b)[-1:]
        )
    return widened(tf.matmul, a, b)


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = tf.matmul(a, b, transpose_a=bool(transA), transpose_b=bool(transB))
    if alpha != 1:
        y = _scaled(y, alpha)
    if c is None:
        return y
    if beta != 1:
        c = _scaled(c, beta)
    c = _as_row(c, y)
    return tf.nn.bias_add(y, c) if extents(c) == extents(y)[1:] else y + c


def _as_row(c, y):
    # workaround: Grappler merges the sum of a matrix product and a [1, N] into a kernel that wants [N]
    return tf.reshape(c, [-1]) if len(y.shape) == 2 and extents(c) == [1] + extents(y)[1:] else c


def _scaled(x, factor):
    if is_float(x):
        return factor * x
    if factor != int(factor):
        raise Unsupported("integers times {}".format(factor))
    return int(factor) * x


def Einsum(*tensors, equation):
    return tf.einsum(equation.replace(" ", ""), *tensors)


def Det(x):
    return tf.linalg.det(x)


# ---------------------------------------------------------------- Fourier transforms


def _as_complex(x, wide=True):
    """[..., 1] or [..., 2] -> [...] complex; wide: in double precision, for zeros where large terms cancel."""
    if x.dtype not in (tf.float32, tf.float64):
        raise Unsupported("a transform of {}".format(x.dtype.name))
    x = tf.cast(x, tf.float64 if wide else x.dtype)
    real = x[..., 0]
    return tf.complex(real, x[..., 1] if x.shape[-1] == 2 else tf.zeros_like(real))


def _as_pairs(z, dtype):
    return tf.cast(tf.stack([tf.math.real(z), tf.math.imag(z)], axis=-1), dtype)


def DFT(x, dft_length=None, axis=-2, *, inverse=0, onesided=0):
    z = _as_complex(x, not inverse)
    axis = scalar(axis, "axis")
    axis = axis % len(x.shape)
    length = scalar(dft_length, "dft_length")
    real_again = inverse and onesided
    if length is None:
        length = 2 * (extents(x)[axis] - 1) if real_again else extents(x)[axis]
    perm = [i for i in range(len(z.shape)) if i != axis] + [axis]
    z = tf.transpose(z, perm)
    wanted = length // 2 + 1 if real_again else length
    z = z[..., :wanted]
    z = tf.pad(z, [[0, 0]] * (len(perm) - 1) + [[0, wanted - extents(z)[-1]]])
    back = numpy.argsort(perm)
    if real_again:
        return tf.cast(tf.expand_dims(tf.transpose(tf.signal.irfft(z, [length]), back), -1), x.dtype)
    z = tf.signal.ifft(z) if inverse else tf.signal.fft(z)
    if onesided:
        z = z[..., : length // 2 + 1]
    return _as_pairs(tf.transpose(z, back), x.dtype)


def STFT(signal, window=None, *, frame_step, frame_length=None, onesided=1):
    z = _as_complex(signal)
    length = frame_length if window is None else extents(window)[0]
    frames = (extents(z)[-1] - length) // frame_step + 1
    places = numpy.arange(frames)[:, None] * frame_step + numpy.arange(length)
    z = tf.gather(z, places, axis=-1)
    if window is not None:
        z = z * tf.cast(window, z.dtype)
    z = tf.signal.fft(z)
    return _as_pairs(z[..., : length // 2 + 1] if onesided else z, signal.dtype)


# ---------------------------------------------------------------- quantised arithmetic


def _along(v, x, axis, block_size=0):
    """A scale or zero point so that it broadcasts against x: one for all, one per position of an axis, or blocks."""
    if v is None or not v.shape.as_list() or (v.shape.as_list() == [1] and not block_size):
        return v
    axis = axis % len(x.shape)
    if block_size:
        repeated = numpy.repeat(numpy.arange(extents(v)[axis]), block_size)[: extents(x)[axis]]
        return _gathered(v, repeated, axis)
    return tf.reshape(v, [-1 if i == axis else 1 for i in range(len(x.shape))])


def _gathered(v, places, axis):
    if v.dtype in NARROWEST:
        return tf.cast(tf.gather(tf.cast(v, NARROWEST[v.dtype]), places, axis=axis), v.dtype)
    return tf.gather(v, places, axis=axis)


#: Whole numbers that a quantised type holds.
LIMITS = {INT4: (-8, 7), UINT4: (0, 15)}
LIMITS.update({kind: (kind.min, kind.max) for kind in (tf.int8, tf.uint8, tf.int16, tf.uint16)})


def _saturated(x, dtype):
    """Round half to even, and hold within the type's range."""
    if dtype not in LIMITS:
        raise Unsupported("quantisation to {}".format(dtype.name))
    low, high = LIMITS[dtype]
    return Cast(tf.clip_by_value(tf.round(x), low, high), to=dtype.name)


def QuantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None, precision=None, saturate=1):
    dtype = zero_point.dtype if zero_point is not None else dtype_of(output_dtype or "uint8")
    if precision not in (None, x.dtype.name) or scale.dtype != x.dtype:
        raise Unsupported("a scale or precision of another type than the input's")
    scaled = x / _along(scale, x, axis, block_size)
    if dtype.is_floating:
        return Cast(scaled, to=dtype.name.replace("float8_", "float8"), saturate=saturate)
    scaled = tf.round(scaled)
    if zero_point is not None:
        scaled = scaled + Cast(_along(zero_point, x, axis, block_size), to=x.dtype.name)
    return _saturated(scaled, dtype)


def DequantizeLinear(x, scale, zero_point=None, *, axis=1, block_size=0, output_dtype=None):
    if output_dtype not in (None, scale.dtype.name):
        raise Unsupported("output_dtype {!r}".format(output_dtype))
    if x.dtype == tf.int32 and scale.dtype != tf.float32:
        raise Unsupported("int32 with a scale of {}".format(scale.dtype.name))
    wide = tf.float64 if x.dtype == tf.int32 else scale.dtype
    y = Cast(x, to=wide.name)
    if zero_point is not None:
        y = y - Cast(_along(zero_point, x, axis, block_size), to=wide.name)
    return tf.cast(y, scale.dtype) * _along(scale, x, axis, block_size)


def _centred(x, zero_point, dtype, axis=0):
    x = tf.cast(x, dtype)
    return x if zero_point is None else x - tf.cast(_along(zero_point, x, axis), dtype)


def MatMulInteger(a, b, a_zero_point=None, b_zero_point=None):
    return MatMul(_centred(a, a_zero_point, tf.int32, -2), _centred(b, b_zero_point, tf.int32, -1))


def QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    if any(v.shape.as_list() not in ([], [1]) for v in (a_scale, b_scale, y_scale)):
        raise Unsupported("scales per row or column")
    return _requantised(MatMulInteger(a, b, a_zero_point, b_zero_point), a_scale * b_scale, y_scale, y_zero_point)


def _requantised(whole, scale, y_scale, y_zero_point):
    """Exact sums, in double precision from there on."""
    real = tf.cast(whole, tf.float64) * (tf.cast(scale, tf.float64) / tf.cast(y_scale, tf.float64))
    return _saturated(tf.round(real) + tf.cast(y_zero_point, tf.float64), y_zero_point.dtype)


def ConvInteger(
    x,
    w,
    x_zero=None,
    w_zero=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    """Exact: doubles hold every sum of products of bytes."""
    x, w = _centred(x, x_zero, tf.float64), _centred(w, w_zero, tf.float64)
    y = Conv(x, w, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    return tf.cast(y, tf.int32)


def QLinearConv(
    x,
    x_scale,
    x_zero,
    w,
    w_scale,
    w_zero,
    y_scale,
    y_zero,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    whole = ConvInteger(
        x, w, x_zero, w_zero, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides
    )
    if b is not None:
        whole = whole + channelwise(b, whole)
    return _requantised(whole, x_scale * _along(w_scale, whole, 1), y_scale, y_zero)


# ---------------------------------------------------------------- convolutions and pools


def Conv(
    x,
    w,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
    layout="NCHW",
):
    if layout == "NCHW":
        w = kernel_to_channels_last(w)
    window = Window(_last(x, layout), extents(w)[:-2], strides, dilations, pads, auto_pad)

    def convolution(x):
        y = convolve(x, w, window, group)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, layout, convolution)


class _last:
    """The shape that an image has, or would have, channels-last."""

    def __init__(self, x, layout):
        shape = extents(x)
        self.shape = shape if layout == "NHWC" else [shape[0]] + shape[2:] + [shape[1]]


def ConvTranspose(
    x,
    w,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
    layout="NCHW",
):
    if layout == "NCHW":
        w = kernel_to_channels_last(w)
    inputs, kernel = _last(x, layout).shape[1:-1], extents(w)[:-2]
    rank = len(inputs)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    extra, pads = output_padding or [0] * rank, list(pads or [0] * (2 * rank))
    # All that the inputs reach, and how much of it is cut off.
    full = [s * (n - 1) + e + (k - 1) * d + 1 for s, n, e, k, d in zip(strides, inputs, extra, kernel, dilations)]
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [n * s for n, s in zip(inputs, strides)]
    if output_shape is None:
        outputs = [f - b - e for f, b, e in zip(full, pads[:rank], pads[rank:])]
        begins = pads[:rank]
    else:
        outputs = list(output_shape)[-rank:]
        totals = [f - o for f, o in zip(full, outputs)]
        begins = [total // 2 if auto_pad == "SAME_UPPER" else total - total // 2 for total in totals]
    if min(begins) < 0 or min(outputs) < 0:
        raise Unsupported("an output larger than what the inputs reach")

    def convolution(x):
        y = convolve_transposed(x, w, list(strides), list(dilations), group, outputs, begins)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, layout, convolution)


def MaxPool(
    x,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    pads=None,
    storage_order=0,
    strides=None,
    layout="NCHW",
):
    """The second output, where the largest elements lie, only channels-first: it counts in that order."""
    window = Window(_last(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    plain = len(window.kernel) == 2 and not window.dilated and is_float(x)
    if layout == "NCHW" and plain and not target().compiled:
        return _max_pool_and_places(x, window, storage_order)
    narrow = x.dtype if x.dtype.size == 1 else None
    if narrow:
        x = tf.cast(x, tf.float32)
    y = on_images(x, layout, lambda x: max_pool(x, window))
    return tf.cast(y, narrow) if narrow else y


def _max_pool_and_places(x, window, storage_order):
    image = window.padded(to_channels_last(x), lowest(x.dtype))
    _, height, width, channels = extents(image)
    strides = [1] + window.strides + [1]
    y, flat = tf.nn.max_pool_with_argmax(image, [1] + window.kernel + [1], strides, "VALID")
    pixel = flat // channels
    row, column = pixel // width - window.pads[0][0], pixel % width - window.pads[1][0]
    n, channels, height, width = extents(x)
    plane = numpy.arange(n * channels).reshape(n, 1, 1, channels) * (height * width)
    places = plane + (column * height + row if storage_order else row * width + column)
    return to_channels_first(y), to_channels_first(places)


def AveragePool(
    x,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    pads=None,
    strides=None,
    layout="NCHW",
):
    window = Window(_last(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return on_images(x, layout, lambda x: average_pool(x, window, count_include_pad))


def LpPool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None, layout="NCHW"
):
    window = Window(_last(x, layout), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return on_images(x, layout, lambda x: sum_pool(tf.abs(x) ** p, window) ** (1 / p))


def _spatial(x, layout):
    rank = len(x.shape)
    return list(range(1, rank - 1)) if layout == "NHWC" else list(range(2, rank))


def GlobalAveragePool(x, *, layout="NCHW"):
    return tf.reduce_mean(x, _spatial(x, layout), keepdims=True)


def GlobalMaxPool(x, *, layout="NCHW"):
    return tf.reduce_max(x, _spatial(x, layout), keepdims=True)


def GlobalLpPool(x, *, p=2, layout="NCHW"):
    return tf.reduce_sum(tf.abs(x) ** p, _spatial(x, layout), keepdims=True) ** (1 / p)


def Resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    antialias=0,
    axes=None,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    keep_aspect_ratio_policy="stretch",
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    return resized(
        x,
        known(roi, "roi"),
        known(scales, "scales"),
        known(sizes, "sizes"),
        antialias=antialias,
        axes=axes,
        transformation=coordinate_transformation_mode,
        cubic=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation=extrapolation_value,
        policy=keep_aspect_ratio_policy,
        mode=mode,
        nearest=nearest_mode,
    )


def GridSample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    return on_images(x, "NCHW", lambda x: grid_sample(x, grid, mode, padding_mode, align_corners))


def DeformConv(
    x,
    w,
    offset,
    b=None,
    mask=None,
    *,
    dilations=None,
    group=1,
    kernel_shape=None,
    offset_group=1,
    pads=None,
    strides=None,
):
    window = Window(_last(x, "NCHW"), extents(w)[2:], strides, dilations, pads)

    def convolution(x):
        y = deformed_convolution(x, w, offset, mask, window, group, offset_group)
        return y if b is None else tf.nn.bias_add(y, b)

    return on_images(x, "NCHW", convolution)


def RoiAlign(
    x,
    regions,
    batches,
    *,
    coordinate_transformation_mode="half_pixel",
    mode="avg",
    output_height=1,
    output_width=1,
    sampling_ratio=0,
    spatial_scale=1.0,
):
    aligned = coordinate_transformation_mode == "half_pixel"
    size = (output_height, output_width)
    image = to_channels_last(x)
    return to_channels_first(region_align(image, regions, batches, size, sampling_ratio, spatial_scale, aligned, mode))


def MaxUnpool(x, places, output_shape=None, *, kernel_shape, pads=None, strides=None):
    rank = len(kernel_shape)
    strides, pads = strides or [1] * rank, pads or [0] * (2 * rank)
    inputs = extents(x)[2:]
    natural = [
        (n - 1) * s - pads[i] - pads[i + rank] + kernel_shape[i] for i, (n, s) in enumerate(zip(inputs, strides))
    ]
    shape = extents(x)[:2] + natural
    wanted = known(output_shape, "output_shape")
    if wanted is not None and list(wanted) != shape:
        raise Unsupported("an output_shape other than that of the pool's input")
    flat = tf.scatter_nd(tf.reshape(places, [-1, 1]), tf.reshape(x, [-1]), [element_count(shape)])
    return tf.reshape(flat, shape)


# ---------------------------------------------------------------- normalisation


def BatchNormalization(x, scale, bias, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0, layout="NCHW"):
    if not training_mode:
        return _normalised_by(x, scale, bias, mean, variance, epsilon, layout)
    shape = extents(x)
    channels = shape[-1 if layout == "NHWC" else 1]
    if x.dtype not in (tf.float32, tf.float16, tf.bfloat16) or scale.dtype != tf.float32:
        raise Unsupported("training with {} and a scale of {}".format(x.dtype.name, scale.dtype.name))

    def fused(x):
        flat = x if len(x.shape) == 4 else tf.reshape(x, [-1, 1, 1, channels])
        y, batch_mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=flat, scale=scale, offset=bias, mean=mean, variance=variance, epsilon=epsilon, is_training=True
        )
        statistics.extend([batch_mean, unbiased])
        return tf.reshape(y, x.shape)

    statistics = []
    y = on_images(x, layout, fused) if len(shape) > 2 else fused(x)
    batch_mean, unbiased = statistics
    count = element_count(shape) // channels
    # workaround: TensorFlow gives the variance of a sample, n / (n - 1) times ONNX's
    batch_variance = unbiased * ((count - 1) / count)
    running_mean = mean * momentum + batch_mean * (1 - momentum)
    running_variance = variance * momentum + batch_variance * (1 - momentum)
    return y, running_mean, running_variance


def _normalised_by(x, scale, bias, mean, variance, epsilon, layout):
    """Of constants of a graph, a product that Grappler pushes into the convolution before it, and a bias."""
    folds = not tf.executing_eagerly() and tf.get_static_value(scale) is not None
    if not folds and layout == "NHWC" and x.dtype == scale.dtype == mean.dtype == tf.float32:
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=bias, mean=mean, variance=variance, epsilon=epsilon, is_training=False
        )[0]
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    scale, bias, mean, variance = (tf.cast(v, wide) for v in (scale, bias, mean, variance))
    factor = scale * tf.math.rsqrt(variance + epsilon)
    offset = bias - mean * factor
    if layout == "NCHW":
        return tf.cast(tf.cast(x, wide) * channelwise(factor, x) + channelwise(offset, x), x.dtype)
    return tf.cast(tf.nn.bias_add(tf.cast(x, wide) * factor, offset), x.dtype)


def _standardised(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon) over axes."""
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + epsilon)


def InstanceNormalization(x, scale, bias, *, epsilon=1e-5, layout="NCHW"):
    if layout == "NCHW":
        scale, bias = channelwise(scale, x), channelwise(bias, x)
    return _standardised(x, _spatial(x, layout), epsilon) * scale + bias


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type="float32", layout="NCHW"):
    shape = extents(x)
    channels = shape[-1 if layout == "NHWC" else 1]
    if layout == "NHWC":
        split = shape[:-1] + [num_groups, channels // num_groups]
        axes = list(range(1, len(shape) - 1)) + [len(shape)]
    else:
        split = [shape[0], num_groups, channels // num_groups] + shape[2:]
        axes = list(range(2, len(split)))
        scale, bias = channelwise(scale, x), channelwise(bias, x)
    wide = dtype_of(stash_type)
    y = tf.reshape(_standardised(tf.cast(tf.reshape(x, split), wide), axes, epsilon), shape)
    return tf.cast(y, x.dtype) * scale + bias


def LayerNormalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    rank = len(x.shape)
    axes = list(range(axis % rank, rank))
    wide = tf.cast(x, dtype_of(stash_type))
    mean, variance = tf.nn.moments(wide, axes, keepdims=True)
    deviation = tf.math.rsqrt(variance + epsilon)
    y = tf.cast((wide - mean) * deviation, x.dtype) * scale
    return (y if bias is None else y + bias), mean, deviation


def RMSNormalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    rank = len(x.shape)
    wide = tf.cast(x, dtype_of(stash_type))
    power = tf.reduce_mean(tf.square(wide), list(range(axis % rank, rank)), keepdims=True)
    return tf.cast(wide * tf.math.rsqrt(power + epsilon), x.dtype) * scale


def MeanVarianceNormalization(x, *, axes=(0, 2, 3)):
    mean, variance = tf.nn.moments(x, list(axes), keepdims=True)
    return (x - mean) / (tf.sqrt(variance) + 1e-9)


def LpNormalization(x, *, axis=-1, p=2):
    size = tf.reduce_sum(tf.abs(x), axis, keepdims=True)
    if p == 2:
        size = tf.sqrt(tf.reduce_sum(tf.square(x), axis, keepdims=True))
    return tf.math.divide_no_nan(x, size)


def LRN(x, *, size, alpha=0.0001, beta=0.75, bias=1.0, layout="NCHW"):
    def normalised(x):
        """TensorFlow's window reaches as far to both sides, so an even size is summed by hand."""
        if size % 2 == 1 and len(x.shape) == 4 and x.dtype != tf.float64:
            return tf.nn.local_response_normalization(x, size // 2, bias, alpha / size, beta)
        before, after = (size - 1) // 2, size // 2
        squares = tf.pad(tf.square(x), [[0, 0]] * (len(x.shape) - 1) + [[before, after]])
        channels = extents(x)[-1]
        total = tf.add_n([squares[..., i : i + channels] for i in range(size)])
        return x / (bias + alpha / size * total) ** beta

    return on_images(x, layout, normalised)


def Softmax(x, *, axis=-1):
    return in_float(lambda x: tf.nn.softmax(x, axis), x)


def LogSoftmax(x, *, axis=-1):
    return in_float(lambda x: tf.nn.log_softmax(x, axis), x)


def Hardmax(x, *, axis=-1):
    return tf.one_hot(tf.argmax(x, axis), extents(x)[axis], axis=axis, dtype=x.dtype)


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


# ---------------------------------------------------------------- losses


def _classes_last(scores, layout):
    return scores if layout == "NHWC" or len(scores.shape) == 2 else to_channels_last(scores)


def _reduced_loss(loss, labels, weights, ignore_index, reduction):
    """Weigh the loss of every element, and reduce; the mean is over the weights that counted."""
    weight = None if weights is None else tf.gather(weights, labels)
    if ignore_index is not None:
        counted = tf.cast(tf.not_equal(ignore_index[0], ignore_index[1]), loss.dtype)
        weight = counted if weight is None else weight * counted
    if weight is not None:
        # An ignored element must not reach the sum, even where its score is infinite.
        loss = tf.where(weight == 0, tf.zeros_like(loss), loss * weight)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return tf.reduce_sum(loss)
    return tf.reduce_mean(loss) if weight is None else tf.reduce_sum(loss) / tf.reduce_sum(weight)


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean", layout="NCHW"):
    logits = _classes_last(scores, layout)
    given, labels = labels, labels if ignore_index is None else _inside(labels, ignore_index)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    ignored = None if ignore_index is None else (given, tf.cast(ignore_index, given.dtype))
    loss = _reduced_loss(loss, labels, weights, ignored, reduction)
    log_prob = tf.nn.log_softmax(scores, -1 if layout == "NHWC" else 1)
    return loss, log_prob


def _inside(labels, ignore_index):
    """Labels with a valid one in place of the ignored."""
    return tf.where(tf.equal(labels, tf.cast(ignore_index, labels.dtype)), tf.zeros_like(labels), labels)


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean", layout="NCHW"):
    given, labels = labels, labels if ignore_index is None else _inside(labels, ignore_index)
    log_prob = _classes_last(scores, layout)
    loss = -tf.gather(log_prob, labels, batch_dims=len(labels.shape))
    ignored = None if ignore_index is None else (given, tf.cast(ignore_index, given.dtype))
    return _reduced_loss(loss, labels, weights, ignored, reduction)


# ---------------------------------------------------------------- recurrence


def RNN(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h=None,
    *,
    hidden_size,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    layout=0,
):
    layer = recurrent.Layer(
        x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, ["Tanh"]
    )
    return recurrent.rnn(layer, w, r, b, h, hidden_size)


def GRU(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h=None,
    *,
    hidden_size,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    layout=0,
    linear_before_reset=0,
):
    defaults = ["Sigmoid", "Tanh"]
    layer = recurrent.Layer(
        x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, defaults
    )
    return recurrent.gru(layer, w, r, b, h, hidden_size, linear_before_reset)


def LSTM(
    x,
    w,
    r,
    b=None,
    lengths=None,
    h=None,
    c=None,
    p=None,
    *,
    hidden_size,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    input_forget=0,
    layout=0,
):
    defaults = ["Sigmoid", "Tanh", "Tanh"]
    layer = recurrent.Layer(
        x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, defaults
    )
    return recurrent.lstm(layer, w, r, b, h, c, p, hidden_size, input_forget)
