"""What operator functions share: element types, known operands, axes and layouts."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported
from .windows import to_channels_first, to_channels_last

#: Element types of ONNX that TensorFlow's kernels can cast, and its names for them.
TYPES = {
    name: name
    for name in """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64
    complex128 int4 uint4""".split()  # noqa: SIM905
}
TYPES.update(string="string", float8e4m3fn="float8_e4m3fn", float8e5m2="float8_e5m2")
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


def spatial_axes(x, layout):
    rank = len(x.shape)
    return list(range(1, rank - 1)) if layout == "NHWC" else list(range(2, rank))


def channels_of(x, layout):
    return extents(x)[-1 if layout == "NHWC" else 1]


def channelwise(v, x):
    """[C] so that it broadcasts against [N, C, ...]."""
    return tf.reshape(v, [-1] + [1] * (len(x.shape) - 2))


def on_images(x, layout, function):
    """Apply a channels-last function to an image of either layout."""
    if layout == "NHWC":
        return function(x)
    return to_channels_first(function(to_channels_last(x)))


def along_last_axis(x, axis, function):
    """Apply a function of the last axis, with one result or a tuple of them, to another axis."""
    rank = len(x.shape)
    axis = axis % rank
    if axis == rank - 1:
        return function(x)
    perm = [i for i in range(rank) if i != axis] + [axis]
    back = numpy.argsort(perm)
    return tf.nest.map_structure(lambda y: tf.transpose(y, back), function(tf.transpose(x, perm)))


# workaround: few of TensorFlow's kernels take these types; each has one that they take and that holds all its values.
WIDER = {tf.bool: tf.int32, tf.int8: tf.int32, tf.uint8: tf.int32, tf.int16: tf.int32, tf.uint16: tf.int32}
WIDER[tf.uint32] = tf.int64


def widened(function, *tensors):
    """Through a wider integer type and back, which keeps sums, products and comparisons exact (modulo 2**n)."""
    dtype = tensors[0].dtype
    if dtype not in WIDER:
        return function(*tensors)
    return tf.cast(function(*(tf.cast(x, WIDER[dtype]) for x in tensors)), dtype)


def in_float(function, *tensors):
    """In float32 where the type is a half."""
    # workaround: TensorFlow's kernels for halves round between the steps.
    dtype = tensors[0].dtype
    if dtype not in (tf.float16, tf.bfloat16):
        return function(*tensors)
    return tf.cast(function(*(tf.cast(x, tf.float32) for x in tensors)), dtype)


def is_float(x):
    return x.dtype.is_floating


def as_row(c, y):
    # workaround: Grappler merges the sum of a matrix product and a [1, N] into a kernel that wants [N]
    return tf.reshape(c, [-1]) if len(y.shape) == 2 and extents(c) == [1] + extents(y)[1:] else c
