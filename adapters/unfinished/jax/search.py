"""Operators that search. How long most results are depends on data, which only mode eager can do."""

from __future__ import annotations

import math

import numpy

import jax
import jax.numpy as jnp

from ..kit.interface import Unsupported


def _eager_only(*tensors):
    if any(isinstance(x, jax.core.Tracer) for x in tensors):
        raise Unsupported("how long its result is depends on data, which only mode eager can do")


def NonZero(x):
    _eager_only(x)
    return jnp.stack(jnp.nonzero(x)).astype(jnp.int64)


def Compress(x, condition, *, axis=None):
    _eager_only(condition)
    return jnp.compress(condition, x, axis)


def Unique(x, *, axis=None, sorted=1):
    _eager_only(x)
    y, first, inverse, counts = jnp.unique(x, True, True, True, axis=axis)
    if not sorted:
        order = jnp.argsort(first)
        y = jnp.take(y, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], jnp.argsort(order)[inverse]
    return (y, *(part.reshape(-1).astype(jnp.int64) for part in (first, inverse, counts)))


def NonMaxSuppression(
    boxes, scores, *, center_point_box=0, iou_threshold=0.0, max_output_boxes_per_class=0, score_threshold=-math.inf
):
    """(batch element, class, box) of each selected box; JAX has no operator for it."""
    _eager_only(boxes, scores)
    if center_point_box:
        centres, halves = boxes[..., :2], boxes[..., 2:] / 2
        low, high = centres - halves, centres + halves
    else:
        low, high = jnp.minimum(boxes[..., :2], boxes[..., 2:]), jnp.maximum(boxes[..., :2], boxes[..., 2:])
    rows = []
    for batch in range(scores.shape[0]):
        overlaps = _overlaps(low[batch], high[batch]) > iou_threshold
        for group in range(scores.shape[1]):
            kept = _kept(scores[batch, group], overlaps, max_output_boxes_per_class, score_threshold)
            rows += [(batch, group, box) for box in kept]
    return jnp.asarray(numpy.array(rows, numpy.int64).reshape(-1, 3))


def _overlaps(low, high):
    """Intersection over union of every pair; 0 with a box of no area."""
    sides = jnp.minimum(high[:, None], high) - jnp.maximum(low[:, None], low)
    inside = jnp.prod(jnp.maximum(sides, 0), -1)
    areas = jnp.prod(high - low, -1)
    return jnp.where(inside > 0, inside / (areas[:, None] + areas - inside), 0)


def _kept(scores, overlaps, most, threshold):
    """From the best score on: each box that overlaps with none before it."""
    kept = []
    for box in jnp.argsort(scores, descending=True, stable=True).tolist():
        if len(kept) >= most or scores[box] <= threshold:
            break
        if not any(overlaps[box, other] for other in kept):
            kept.append(box)
    return kept


def TfIdfVectorizer(
    x, *, max_gram_length, max_skip_count, min_gram_length, mode, ngram_counts, ngram_indexes, pool_int64s=None,
    pool_strings=None, weights=None,
):  # fmt: skip
    if pool_int64s is None:
        raise Unsupported("JAX has no strings")
    rows, size = x.reshape(-1, x.shape[-1]), max(ngram_indexes) + 1
    counts = jnp.zeros((rows.shape[0], size), jnp.float32)
    for grams, places in _grams(pool_int64s, ngram_counts, ngram_indexes, min_gram_length, max_gram_length):
        length = grams.shape[1]
        for step in range(1, 2 if length == 1 else max_skip_count + 2):
            count = rows.shape[1] - step * (length - 1)
            if count > 0:
                taps = jnp.stack([rows[:, i * step : i * step + count] for i in range(length)], -1)
                found = jnp.all(taps[:, :, None] == grams, -1).sum(1)
                counts = counts.at[:, places].add(found.astype(jnp.float32))
    return _weighted(counts, mode, weights, ngram_indexes).reshape(*x.shape[:-1], size)


def _grams(pool, starts, places, shortest, longest):
    """For each length: its n-grams, one a row, and the column of the output that counts each."""
    ends, done = list(starts[1:]) + [len(pool)], 0
    for length, (start, end) in enumerate(zip(starts, ends), 1):
        grams = numpy.array(pool[start:end], numpy.int64).reshape(-1, length)
        if len(grams) and shortest <= length <= longest:
            if len(numpy.unique(grams, axis=0)) < len(grams):
                raise Unsupported("an n-gram that is twice in the pool")
            yield grams, numpy.array(places[done : done + len(grams)])
        done += len(grams)


def _weighted(counts, mode, weights, places):
    if mode != "TF" and weights and list(places) != list(range(len(weights))):
        raise Unsupported("weights of n-grams that are not counted in the order of the pool")
    seen = (counts > 0).astype(jnp.float32) if mode == "IDF" else counts
    return seen if mode == "TF" or not weights else seen * jnp.asarray(weights, jnp.float32)
