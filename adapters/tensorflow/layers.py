"""Normalisations, losses and recurrent layers."""

from __future__ import annotations

import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from . import recurrent
from .common import channelwise, dtype_of, extents, in_float, on_images, scalar
from .image import spatial
from .windows import to_channels_last


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
    return _standardised(x, spatial(x, layout), epsilon) * scale + bias


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
