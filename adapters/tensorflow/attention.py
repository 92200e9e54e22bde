"""Dot-product attention, of which TensorFlow has no fused kernel: products and a softmax, as in Keras' layers."""

from __future__ import annotations

import math

import numpy
import tensorflow as tf

from .common import dtype_of, extents
from .matrices import MatMul
from .normalisation import Softmax


def Attention(
    q, k, v, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal=0, kv_num_heads=None,
    left_window_size=-1, q_num_heads=None, qk_matmul_output_mode=0, right_window_size=-1, scale=None, softcap=0.0,
    softmax_precision=None,
):  # fmt: skip
    flat = len(q.shape) == 3
    if flat:
        q, k, v = (_by_head(x, n) for x, n in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    if past_key is not None:
        k, v = tf.concat((past_key, k), 2), tf.concat((past_value, v), 2)
    present = k, v
    repeats = extents(q)[1] // extents(k)[1]
    if repeats > 1:
        k, v = tf.repeat(k, repeats, 1), tf.repeat(v, repeats, 1)
    window = left_window_size, 0 if is_causal else right_window_size
    offset = 0 if past_key is None else extents(past_key)[2]
    allowed = _allowed(extents(q)[2], extents(k)[2], window, offset, nonpad_kv_seqlen)
    mask, empty = _mask(allowed, attn_mask, extents(k)[2], q.dtype)
    root = tf.constant(math.sqrt(extents(q)[-1] ** -0.5 if scale is None else scale), q.dtype)
    scores = MatMul(q * root, tf.transpose(k, [0, 1, 3, 2]) * root)
    capped = tf.tanh(scores / softcap) * softcap if softcap else scores
    biased = capped if mask is None else capped + mask
    weights = _weights(biased, empty, q.dtype if softmax_precision is None else dtype_of(softmax_precision))
    if empty is not None:
        biased = tf.where(empty, tf.constant(-math.inf, q.dtype), biased)
    y = MatMul(weights, v)
    if flat:
        y = tf.transpose(y, [0, 2, 1, 3])
        y = tf.reshape(y, extents(y)[:2] + [-1])
    return (y, *present, (scores, capped, biased, weights)[qk_matmul_output_mode])


def _by_head(x, heads):
    """[batch, time, heads * size] -> [batch, heads, time, size]"""
    batch, time, size = extents(x)
    return tf.transpose(tf.reshape(x, [batch, time, heads, size // heads]), [0, 2, 1, 3])


def _allowed(queries, keys, window, offset, lengths):
    """Which keys each query may see by its place: a window of keys around it, and how many keys are real.

    offset: the keys before the first query; where `lengths`, of each batch element's real keys, are given, its last
    query stands at its last real key. None where all keys are seen.
    """
    left, right = window
    columns, parts = numpy.arange(keys), []
    if lengths is not None:
        lengths = tf.reshape(tf.cast(lengths, tf.int64), [-1, 1, 1, 1])
        parts.append(columns < lengths)
        offset = lengths - queries
    ahead = columns - numpy.arange(queries).reshape(-1, 1) - offset
    if left >= 0:
        parts.append(ahead >= -left)
    if right >= 0:
        parts.append(ahead <= right)
    allowed = None
    for part in parts:
        allowed = part if allowed is None else allowed & part
    return allowed


def _mask(allowed, given, keys, dtype):
    """What is added to the scores, 0 or -inf where nothing is, and which queries see no key at all; None: nothing.

    The rows of queries that see no key are not masked: their softmax has to be finite, or its gradient is not.
    """
    if given is not None:
        missing = max(keys - extents(given)[-1], 0)
        value = tf.constant(False if given.dtype == tf.bool else -math.inf, given.dtype)
        given = tf.pad(given, [[0, 0]] * (len(given.shape) - 1) + [[0, missing]], constant_values=value)
        if given.dtype == tf.bool:
            allowed, given = given if allowed is None else allowed & given, None
    if allowed is None and given is None:
        return None, None
    zero, nothing = tf.zeros([], dtype), tf.constant(-math.inf, dtype)
    mask = zero if given is None else given
    if allowed is not None:
        mask = tf.where(allowed, mask, nothing)
    empty = tf.reduce_max(mask, -1, keepdims=True) == nothing
    static = tf.get_static_value(empty)
    if static is not None and not static.any():
        return mask, None
    return tf.where(empty, zero, mask), empty


def _weights(scores, empty, wide):
    """The softmax in another type, and zeros where a query sees no key."""
    narrow, zero = scores.dtype, tf.zeros([], scores.dtype)
    if empty is not None:
        scores = tf.where(empty, zero, scores)
    weights = tf.cast(Softmax(tf.cast(scores, wide)), narrow)
    return weights if empty is None else tf.where(empty, zero, weights)
