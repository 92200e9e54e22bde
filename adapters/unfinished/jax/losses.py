"""Losses, with ONNX's class weights, ignored labels and reductions."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def _class_axis(x, layout):
    return x.ndim - 1 if layout == "NHWC" else 1


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean", layout="NCHW"):
    logarithms = jax.nn.log_softmax(scores, _class_axis(scores, layout))
    loss = NegativeLogLikelihoodLoss(
        logarithms, labels, weights, ignore_index=ignore_index, reduction=reduction, layout=layout
    )
    return loss, logarithms


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean", layout="NCHW"):
    """The mean is over the weights that counted."""
    axis, counted = _class_axis(scores, layout), None
    if ignore_index is not None:
        counted = labels != ignore_index
        labels = jnp.where(counted, labels, 0)
    picked = jnp.take_along_axis(scores, jnp.expand_dims(labels, axis), axis, mode="promise_in_bounds")
    loss = -jnp.squeeze(picked, axis)
    weight = None if weights is None else weights[labels]
    if counted is not None:
        weight = jnp.where(counted, 1 if weight is None else weight, 0).astype(scores.dtype)
    if weight is not None:
        # An ignored element must not reach the sum, even where its score is infinite.
        loss = jnp.where(weight == 0, 0, loss * weight)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return jnp.sum(loss)
    return jnp.mean(loss) if weight is None else jnp.sum(loss) / jnp.sum(weight)
