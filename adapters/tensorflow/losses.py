"""Losses, with ONNX's class weights, ignored labels and reductions."""

from __future__ import annotations

import tensorflow as tf

from .windows import to_channels_last


def _loss(each, scores, labels, weights, ignore_index, reduction, layout):
    """each(scores with the classes last, labels of existing classes) is the loss of every element.

    The mean is over the weights that counted.
    """
    if layout != "NHWC" and len(scores.shape) > 2:
        scores = to_channels_last(scores)
    counted = None
    if ignore_index is not None:
        counted = tf.not_equal(labels, tf.cast(ignore_index, labels.dtype))
        labels = tf.where(counted, labels, tf.zeros_like(labels))
    loss = each(scores, labels)
    weight = None if weights is None else tf.gather(weights, labels)
    if counted is not None:
        counted = tf.cast(counted, loss.dtype)
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
    def cross_entropy(scores, labels):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)

    loss = _loss(cross_entropy, scores, labels, weights, ignore_index, reduction, layout)
    return loss, tf.nn.log_softmax(scores, -1 if layout == "NHWC" else 1)


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean", layout="NCHW"):
    def of_label(scores, labels):
        return -tf.gather(scores, labels, batch_dims=len(labels.shape))

    return _loss(of_label, scores, labels, weights, ignore_index, reduction, layout)
