"""Normalisation over a batch, over axes or among neighbours."""

from __future__ import annotations

import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from .common import channels_of, channelwise, dtype_of, extents, in_float, on_images, spatial_axes
from .target import target


def BatchNormalization(x, scale, bias, mean, variance, *, epsilon=1e-5, momentum=0.9, training_mode=0, layout="NCHW"):
    if not training_mode:
        return _normalised_by(x, scale, bias, mean, variance, epsilon, layout)
    shape = extents(x)
    channels = channels_of(x, layout)
    if x.dtype not in (tf.float32, tf.float16, tf.bfloat16) or scale.dtype != tf.float32:
        raise Unsupported("training with {} and a scale of {}".format(x.dtype.name, scale.dtype.name))

    def fused(x):
        flat = x if len(x.shape) == 4 else tf.reshape(x, [-1, 1, 1, channels])
        y, running_mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=flat,
            scale=scale,
            offset=bias,
            mean=mean,
            variance=variance * (count / others),
            epsilon=epsilon,
            exponential_avg_factor=1 - momentum,
            is_training=True,
        )
        # workaround: TensorFlow keeps the variance of a sample, n / (n - 1) times ONNX's
        statistics.extend([running_mean, unbiased * (others / count)])
        return y if len(x.shape) == 4 else tf.reshape(y, x.shape)

    count, statistics = element_count(shape) // channels, []
    others = max(count - 1, 1)
    y = on_images(x, layout, fused) if len(shape) > 2 else fused(x)
    return (y, *statistics)


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
    if x.dtype == tf.bfloat16 and target().bfloat16:
        factor, offset, wide = tf.cast(factor, x.dtype), tf.cast(offset, x.dtype), x.dtype
    if layout == "NCHW":
        return tf.cast(tf.cast(x, wide) * channelwise(factor, x) + channelwise(offset, x), x.dtype)
    return tf.cast(tf.nn.bias_add(tf.cast(x, wide) * factor, offset), x.dtype)


def _standardised(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon) over axes, the mean, and what the division multiplies by."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    factor = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + epsilon)
    return centred * factor, mean, factor


def InstanceNormalization(x, scale, bias, *, epsilon=1e-5, layout="NCHW"):
    if layout == "NCHW":
        scale, bias = channelwise(scale, x), channelwise(bias, x)
    return _standardised(x, spatial_axes(x, layout), epsilon)[0] * scale + bias


def GroupNormalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type="float32", layout="NCHW"):
    shape = extents(x)
    channels = channels_of(x, layout)
    if layout == "NHWC":
        split = shape[:-1] + [num_groups, channels // num_groups]
        axes = list(range(1, len(shape) - 1)) + [len(shape)]
    else:
        split = [shape[0], num_groups, channels // num_groups] + shape[2:]
        axes = list(range(2, len(split)))
        scale, bias = channelwise(scale, x), channelwise(bias, x)
    y, _, _ = _standardised(tf.cast(tf.reshape(x, split), dtype_of(stash_type)), axes, epsilon)
    return tf.cast(tf.reshape(y, shape), x.dtype) * scale + bias


def LayerNormalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type="float32"):
    rank = len(x.shape)
    axes = list(range(axis % rank, rank))
    y, mean, factor = _standardised(tf.cast(x, dtype_of(stash_type)), axes, epsilon)
    y = tf.cast(y, x.dtype) * scale
    return (y if bias is None else y + bias), mean, factor


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
        # workaround: TensorFlow's window reaches as far to both sides, so an even size is summed by hand; its kernel
        # takes neither float64 nor other than two spatial axes.
        if size % 2 == 1 and len(x.shape) == 4 and x.dtype != tf.float64:
            return tf.nn.local_response_normalization(x, size // 2, bias, alpha / size, beta)
        before, after = (size - 1) // 2, size // 2
        squares = tf.pad(tf.square(x), [[0, 0]] * (len(x.shape) - 1) + [[before, after]])
        channels = extents(x)[-1]
        total = tf.add_n([squares[..., i : i + channels] for i in range(size)])
        return x / (bias + alpha / size * total) ** beta

    return on_images(x, layout, normalised)


def Softmax(x, *, axis=-1):
    if x.dtype == tf.float16 and target().device == "cpu":
        return _softmax_in_steps(x, axis)
    return in_float(lambda x: tf.nn.softmax(x, axis), x)


def _softmax_in_steps(x, axis):
    # workaround: TensorFlow rounds once, at the end, or every sum; ONNX's function body rounds after each step.
    powers = tf.exp(x - tf.reduce_max(x, axis, keepdims=True))
    return powers / in_float(lambda x: tf.reduce_sum(x, axis, keepdims=True), powers)


def LogSoftmax(x, *, axis=-1):
    return in_float(lambda x: tf.nn.log_softmax(x, axis), x)


def Hardmax(x, *, axis=-1):
    return tf.one_hot(tf.argmax(x, axis), extents(x)[axis], axis=axis, dtype=x.dtype)
