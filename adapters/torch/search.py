"""ONNX's operators whose results are as long as the data says, each one call of torch's eager mode at run time.

And TfIdfVectorizer, which searches too.
"""

from __future__ import annotations

import math

import numpy
import torch

from ..kit.interface import Unsupported
from .tracing import sized_by_data


@sized_by_data
def _nonzero(x):
    return torch.nonzero(x).t()


def NonZero(x):
    return _nonzero(x)


@sized_by_data
def _compress(x, condition, axis):
    return x.index_select(axis, torch.nonzero(condition).reshape(-1))


def Compress(x, condition, *, axis=None):
    return _compress(x.reshape(-1), condition, 0) if axis is None else _compress(x, condition, axis)


@sized_by_data
def _unique(x, in_order, axis):
    y, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    places = torch.arange(len(inverse), device=x.device)
    first = torch.full(counts.shape, len(inverse), device=x.device)
    first = first.scatter_reduce(0, inverse, places, "amin")
    if not in_order:
        order = torch.argsort(first)
        y, first, counts = y.index_select(axis, order), first[order], counts[order]
        inverse = torch.argsort(order)[inverse]
    return y, first, inverse, counts


def Unique(x, *, axis=None, sorted=1):
    return _unique(x.reshape(-1), sorted, 0) if axis is None else _unique(x, sorted, axis)


def NonMaxSuppression(
    boxes, scores, *, center_point_box=0, iou_threshold=0.0, max_output_boxes_per_class=0, score_threshold=-math.inf
):
    return _non_max_suppression(
        boxes, scores, max_output_boxes_per_class, iou_threshold, score_threshold, center_point_box
    )


# workaround: torch has no non-maximum suppression; torchvision has.
@sized_by_data
def _non_max_suppression(boxes, scores, most, iou_threshold, score_threshold, centred):
    """(batch element, class, box) of each selected box."""
    corners = _corners(boxes, centred)
    rows = [torch.zeros((0, 3), dtype=torch.int64, device=boxes.device)]
    for batch in range(scores.shape[0]):
        for group in range(scores.shape[1]):
            kept = _kept(corners[batch], scores[batch, group], most, iou_threshold, score_threshold)
            rows += [torch.stack((torch.full_like(box, batch), torch.full_like(box, group), box)).t() for box in kept]
    return torch.cat(rows)


def _corners(boxes, centred):
    """Boxes as their lower and their higher corner."""
    if centred:
        centres, halves = boxes[..., :2], boxes[..., 2:] / 2
        return torch.cat((centres - halves, centres + halves), -1)
    first, second = boxes[..., :2], boxes[..., 2:]
    return torch.cat((torch.minimum(first, second), torch.maximum(first, second)), -1)


def _kept(corners, scores, most, iou_threshold, score_threshold):
    """From the best score on: each box that overlaps with none before it by more than the threshold."""
    candidates = torch.sort(scores, descending=True, stable=True).indices
    candidates = candidates[scores[candidates] > score_threshold]
    kept = []
    while len(candidates) and len(kept) < most:
        kept.append(candidates[:1])
        best, candidates = corners[candidates[0]], candidates[1:]
        candidates = candidates[~(_overlaps(best, corners[candidates]) > iou_threshold)]
    return kept


def _overlaps(box, others):
    """Intersection over union; 0 with a box of no area."""
    sides = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
    inside = sides.clamp(min=0).prod(-1)
    areas = (others[:, 2:] - others[:, :2]).prod(-1)
    union = (box[2:] - box[:2]).prod() + areas - inside
    return torch.where(inside > 0, inside / union, torch.zeros_like(inside))


def TfIdfVectorizer(
    x, *, max_gram_length, max_skip_count, min_gram_length, mode, ngram_counts, ngram_indexes, pool_int64s=None,
    pool_strings=None, weights=None,
):  # fmt: skip
    if pool_int64s is None:
        raise Unsupported("torch has no strings")
    rows = x.reshape(-1, x.shape[-1])
    size = max(ngram_indexes) + 1
    counts = torch.zeros(rows.shape[0], size)
    for grams, places in _grams(pool_int64s, ngram_counts, ngram_indexes, min_gram_length, max_gram_length):
        length = grams.shape[1]
        for step in range(1, 2 if length == 1 else max_skip_count + 2):
            count = rows.shape[1] - step * (length - 1)
            if count > 0:
                taps = [rows[:, i * step : i * step + count] for i in range(length)]
                found = torch.stack(taps, -1).unsqueeze(2) == torch.as_tensor(grams)
                found = found.all(-1).sum(1).to(torch.float32)
                counts = torch.index_add(counts, 1, torch.as_tensor(places), found)
    return _weighted(counts, mode, weights, ngram_indexes).reshape(list(x.shape[:-1]) + [size])


def _grams(pool, starts, places, shortest, longest):
    """For each length: its n-grams, one a row, and the column of the output that counts each."""
    ends, done = list(starts[1:]) + [len(pool)], 0
    for length, (start, end) in enumerate(zip(starts, ends), 1):
        grams = numpy.array(pool[start:end], numpy.int64).reshape(-1, length)
        if len(grams) and shortest <= length <= longest:
            if len(numpy.unique(grams, axis=0)) < len(grams):
                raise Unsupported("an n-gram that is twice in the pool")
            yield grams, numpy.array(places[done : done + len(grams)], numpy.int64)
        done += len(grams)


def _weighted(counts, mode, weights, places):
    if mode != "TF" and weights and list(places) != list(range(len(weights))):
        raise Unsupported("weights of n-grams that are not counted in the order of the pool")
    seen = (counts > 0).to(torch.float32) if mode == "IDF" else counts
    return seen if mode == "TF" or not weights else seen * torch.tensor(weights)
