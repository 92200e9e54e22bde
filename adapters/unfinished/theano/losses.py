"""ONNX operators on Theano's variables: losses."""

from __future__ import annotations

import numpy

import theano.tensor as T

from .common import constant, extents, reshape
from .layers import LogSoftmax


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    logarithms = LogSoftmax(scores, axis=1)
    logarithms.tag.extents = extents(scores)
    if scores.ndim == 2 and weights is None and ignore_index is None:
        # In this form Theano has one kernel for both, and one for their gradient.
        losses = T.nnet.categorical_crossentropy(T.nnet.softmax(scores), labels.astype("int64"))
        return _reduced(losses, None, reduction), logarithms
    loss = NegativeLogLikelihoodLoss(logarithms, labels, weights, ignore_index=ignore_index, reduction=reduction)
    return loss, logarithms


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    """Labels that are ignored weigh nothing; "mean" divides by the sum of the weights."""
    shape = extents(scores)
    rows = int(numpy.prod(shape, dtype=numpy.int64)) // shape[1]
    moved = scores if scores.ndim == 2 else scores.dimshuffle(0, *range(2, scores.ndim), 1)
    flat = reshape(moved, (rows, shape[1]))
    wanted = labels.flatten().astype("int64")
    counts = None
    if ignore_index is not None:
        counted = T.neq(wanted, constant(ignore_index, "int64"))
        wanted = T.switch(counted, wanted, constant(0, "int64"))
        counts = counted.astype(scores.dtype)
    losses = -flat[constant(numpy.arange(rows)), wanted]
    weight = counts
    if weights is not None:
        weight = weights[wanted] if counts is None else weights[wanted] * counts
    result = _reduced(losses if weight is None else losses * weight, weight, reduction)
    return reshape(result, extents(labels)) if reduction == "none" else result


def _reduced(losses, weight, reduction):
    if reduction == "none":
        return losses
    if reduction == "mean":
        return T.mean(losses) if weight is None else T.sum(losses) / T.sum(weight)
    return T.sum(losses)
