"""Operators that search: NonMaxSuppression, Unique, TfIdfVectorizer."""

from __future__ import annotations

import math

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from .common import extents
from .target import target


def NonMaxSuppression(
    boxes, scores, *, center_point_box=0, iou_threshold=0.0, max_output_boxes_per_class=0, score_threshold=-math.inf
):
    _not_compiled()
    if center_point_box:
        centres, halves = boxes[..., :2], boxes[..., 2:] / 2
        boxes = tf.concat((centres - halves, centres + halves), -1)
    batches, groups, count = extents(scores)
    most = min(max_output_boxes_per_class, count)
    rows = [tf.zeros([0, 3], tf.int64)]
    for batch in range(batches):
        for group in range(groups):
            kept = tf.image.non_max_suppression(
                boxes[batch], scores[batch, group], most, iou_threshold, score_threshold
            )
            kept = tf.expand_dims(tf.cast(kept, tf.int64), -1)
            rows.append(tf.pad(kept, [[0, 0], [2, 0]]) + numpy.array([batch, group, 0]))
    return tf.concat(rows, 0)


def _not_compiled():
    if target().compiled:
        raise Unsupported("how long its result is depends on data, which XLA cannot do")


def Unique(x, *, axis=None, sorted=1):
    _not_compiled()
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    rank = len(x.shape)
    order = [axis % rank] + [i for i in range(rank) if i != axis % rank]
    x = tf.transpose(x, order)
    rest = extents(x)[1:]
    rows = tf.reshape(x, [extents(x)[0], -1])
    rows, inverse, counts = tf.raw_ops.UniqueWithCountsV2(x=rows, axis=[0], out_idx=tf.int64)
    number = tf.shape(counts, tf.int64)[0]
    first = tf.math.unsorted_segment_min(tf.range(tf.shape(inverse, tf.int64)[0]), inverse, number)
    if sorted:
        places = _in_order(rows, element_count(rest))
        rows, first, counts = (tf.gather(y, places) for y in (rows, first, counts))
        inverse = tf.gather(tf.math.invert_permutation(places), inverse)
    y = tf.transpose(tf.reshape(rows, [-1] + rest), numpy.argsort(order))
    return y, first, tf.cast(inverse, tf.int64), counts


def _in_order(rows, columns):
    """Where each row of the sorted rows is: by the last column, then stably by each before it."""
    places = tf.range(tf.shape(rows)[0])
    # workaround: TensorFlow does not sort booleans.
    if rows.dtype in (tf.bfloat16, tf.float16, tf.bool):
        rows = tf.cast(rows, tf.float32)
    for column in reversed(range(columns)):
        keys = tf.gather(rows[:, column], places)
        places = tf.gather(places, tf.argsort(keys, stable=True))
    return places


def TfIdfVectorizer(
    x, *, max_gram_length, max_skip_count, min_gram_length, mode, ngram_counts, ngram_indexes, pool_int64s=None,
    pool_strings=None, weights=None,
):  # fmt: skip
    shape, size = extents(x), max(ngram_indexes) + 1
    rows = tf.reshape(x if x.dtype == tf.string else tf.cast(x, tf.int64), [-1, shape[-1]])
    counts = tf.zeros([extents(rows)[0], size])
    pool = numpy.array(pool_int64s, numpy.int64) if pool_strings is None else numpy.array(pool_strings, object)
    for grams, places in _grams(pool, ngram_counts, ngram_indexes, min_gram_length, max_gram_length):
        length, found = grams.shape[1], 0.0
        for step in range(1, 2 if length == 1 else max_skip_count + 2):
            count = shape[-1] - step * (length - 1)
            if count > 0:
                taps = tf.stack([rows[:, i * step : i * step + count] for i in range(length)], -1)
                same = tf.reduce_all(tf.equal(tf.expand_dims(taps, 2), tf.constant(grams)), -1)
                found += tf.reduce_sum(tf.cast(same, tf.float32), 1)
        columns = numpy.zeros((len(grams), size), numpy.float32)
        columns[numpy.arange(len(grams)), places] = 1
        counts += tf.linalg.matmul(found, columns) if tf.is_tensor(found) else 0.0
    return tf.reshape(_weighted(counts, mode, weights, ngram_indexes), shape[:-1] + [size])


def _grams(pool, starts, places, shortest, longest):
    """For each length: its n-grams, one a row, and the column of the output that counts each."""
    ends, done = list(starts[1:]) + [len(pool)], 0
    for length, (start, end) in enumerate(zip(starts, ends), 1):
        grams = pool[start:end].reshape(-1, length)
        if len(grams) and shortest <= length <= longest:
            if len({tuple(gram) for gram in grams.tolist()}) < len(grams):
                raise Unsupported("an n-gram that is twice in the pool")
            yield grams, places[done : done + len(grams)]
        done += len(grams)


def _weighted(counts, mode, weights, places):
    if mode != "TF" and weights and list(places) != list(range(len(weights))):
        raise Unsupported("weights of n-grams that are not counted in the order of the pool")
    seen = tf.cast(counts > 0, tf.float32) if mode == "IDF" else counts
    return seen if mode == "TF" or not weights else seen * tf.constant(weights, tf.float32)
