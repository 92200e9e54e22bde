"""Operators that move elements, make them, or pick and place them by index."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from .common import dtype_of, extents, known, on_images, scalar


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
    axes = [axes] if isinstance(axes, int) else axes
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


def ConstantOfShape(input, *, value=None):
    value = numpy.zeros(1, numpy.float32) if value is None else value
    return tf.fill(known(input, "shape"), tf.constant(value.reshape(())))


def EyeLike(x, *, dtype=None, k=0):
    return tf.constant(numpy.eye(*extents(x), k=k), x.dtype if dtype is None else dtype_of(dtype))


def Range(*, start, limit, delta, dtype):
    kind = dtype_of(dtype)
    if kind not in (tf.float16, tf.bfloat16):
        return tf.range(*(tf.constant(value, kind) for value in (start, limit, delta)))
    # workaround: TensorFlow's half kernels add up the steps, and their rounding with them.
    return tf.cast(tf.range(start, limit, delta, tf.float32), kind)


def OneHot(indices, values, depth, *, axis=-1):
    depth = int(scalar(depth, "depth"))
    axis = axis % (len(indices.shape) + 1)
    indices = tf.cast(indices, tf.int64)
    indices = tf.where(indices < 0, indices + depth, indices)
    chosen = tf.one_hot(indices, depth, on_value=True, off_value=False, axis=axis, dtype=tf.bool)
    return tf.where(chosen, values[1], values[0])


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
