"""ONNX operators on MXNet symbols: losses."""

from __future__ import annotations

from .ops import cast, full, reshape
from .symbols import F


def SoftmaxCrossEntropyLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    log_probabilities = F.log_softmax(scores, axis=1)
    loss = NegativeLogLikelihoodLoss(log_probabilities, labels, weights, ignore_index=ignore_index, reduction=reduction)
    return loss, log_probabilities


def NegativeLogLikelihoodLoss(scores, labels, weights=None, *, ignore_index=None, reduction="mean"):
    """Labels that are ignored weigh nothing; "mean" divides by the sum of the weights."""
    losses = F._npi_negative(F.pick(scores, labels, axis=1, mode="clip"))
    weight = None if weights is None else F.take(weights, labels, axis=0, mode="clip")
    if ignore_index is not None:
        counts = cast(F._npi_not_equal(labels, full((), ignore_index, labels.dtype)), scores.dtype)
        weight = counts if weight is None else F.elemwise_mul(weight, counts)
    if weight is not None:
        losses = F._npi_multiply(losses, reshape(weight, losses.shape))
    if reduction == "none":
        return losses
    if reduction == "mean" and weight is None:
        return F._npi_mean(losses)
    total = F._np_sum(losses)
    return F._npi_true_divide(total, F._np_sum(weight)) if reduction == "mean" else total
