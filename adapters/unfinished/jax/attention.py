"""Dot-product attention, and attention without a softmax."""

from __future__ import annotations

import math

import numpy

import jax
import jax.numpy as jnp
from jax import lax

from .dtypes import type_of
from .shapes import padded


def Attention(
    q, k, v, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal=0, kv_num_heads=None,
    left_window_size=-1, q_num_heads=None, qk_matmul_output_mode=0, right_window_size=-1, scale=None, softcap=0.0,
    softmax_precision=None,
):  # fmt: skip
    flat = q.ndim == 3
    if flat:
        q, k, v = (_by_head(x, n) for x, n in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    if past_key is not None:
        k, v = jnp.concatenate((past_key, k), 2), jnp.concatenate((past_value, v), 2)
    present = k, v
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = jnp.repeat(k, repeats, 1), jnp.repeat(v, repeats, 1)
    window = left_window_size, 0 if is_causal else right_window_size
    offset = 0 if past_key is None else past_key.shape[2]
    allowed = _allowed(q.shape[2], k.shape[2], window, offset, nonpad_kv_seqlen)
    mask, empty = _mask(allowed, attn_mask, k.shape[2], q.dtype)
    root = math.sqrt(q.shape[-1] ** -0.5 if scale is None else scale)
    scores = jnp.matmul(q * root, jnp.swapaxes(k * root, -1, -2))
    capped = jnp.tanh(scores / softcap) * softcap if softcap else scores
    biased = capped if mask is None else capped + mask
    weights = _weights(biased, empty, q.dtype if softmax_precision is None else type_of(softmax_precision))
    if empty is not None:
        biased = jnp.where(empty, -jnp.inf, biased).astype(q.dtype)
    y = jnp.matmul(weights, v)
    if flat:
        y = jnp.swapaxes(y, 1, 2).reshape(y.shape[0], y.shape[2], -1)
    return (y, *present, (scores, capped, biased, weights)[qk_matmul_output_mode])


def _by_head(x, heads):
    """(batch, time, heads * size) -> (batch, heads, time, size)"""
    return jnp.swapaxes(x.reshape(x.shape[0], x.shape[1], heads, -1), 1, 2)


def _allowed(queries, keys, window, offset, lengths):
    """Which keys each query may see by its place: a window of keys around it, and how many keys are real.

    offset: the keys before the first query; where `lengths`, of each batch element's real keys, are given, its last
    query stands at its last real key. None where all keys are seen.
    """
    left, right = window
    columns, parts = numpy.arange(keys), []
    if lengths is not None:
        lengths = lengths.reshape(-1, 1, 1, 1)
        parts.append(columns < lengths)
        offset = lengths - queries
    ahead = columns - numpy.arange(queries)[:, None] - offset
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
        missing = max(keys - given.shape[-1], 0)
        nothing = False if given.dtype == jnp.bool_ else -jnp.inf
        given = padded(given, [(0, 0)] * (given.ndim - 1) + [(0, missing)], nothing)
        if given.dtype == jnp.bool_:
            allowed, given = given if allowed is None else allowed & given, None
    if allowed is None and given is None:
        return None, None
    if given is None and isinstance(allowed, numpy.ndarray) and allowed.any(-1).all():
        return jnp.asarray(numpy.where(allowed, 0, -numpy.inf), dtype), None
    mask = jnp.zeros((), dtype) if given is None else given
    if allowed is not None:
        mask = jnp.where(allowed, mask, -jnp.inf).astype(dtype)
    empty = jnp.max(mask, -1, keepdims=True) == -jnp.inf
    return jnp.where(empty, 0, mask), empty


def _weights(scores, empty, kind):
    """The softmax in another type, and zeros where a query sees no key."""
    narrow = scores.dtype
    if empty is not None:
        scores = jnp.where(empty, 0, scores)
    weights = jax.nn.softmax(scores.astype(kind)).astype(narrow)
    return weights if empty is None else jnp.where(empty, 0, weights)


def LinearAttention(
    query, key, value, past_state=None, decay=None, beta=None, *, q_num_heads, kv_num_heads, chunk_size=0, scale=0.0,
    update_rule="gated_delta",
):  # fmt: skip
    """A recurrence over time, in float32: the state decays, is corrected by `beta`, takes in a key and its value."""
    batch, length, _ = query.shape
    q, k, v = _steps(query, q_num_heads), _steps(key, kv_num_heads), _steps(value, kv_num_heads)
    decay = None if decay is None else jnp.exp(_steps(decay, kv_num_heads))
    beta = None if beta is None else _steps(beta, beta.shape[-1])
    kind = query.dtype if past_state is None else past_state.dtype
    state = jnp.zeros((batch, kv_num_heads, k.shape[-1], v.shape[-1]), jnp.float32)
    state = state if past_state is None else past_state.astype(jnp.float32)
    scale, repeats = scale or k.shape[-1] ** -0.5, q_num_heads // kv_num_heads

    def step(state, now):
        q, k, written, decay, beta = now
        if decay is not None:
            state = state * decay[..., None]
        if beta is not None:
            written = beta * (written - jnp.einsum("bhdm,bhd->bhm", state, k))
        state = state + k[..., None] * written[..., None, :]
        return state, jnp.einsum("bhdm,bhd->bhm", jnp.repeat(state, repeats, 1), q) * scale

    state, y = lax.scan(step, state, (q, k, v, decay, beta))
    return jnp.swapaxes(y, 0, 1).reshape(batch, length, -1).astype(query.dtype), state.astype(kind)


def _steps(x, heads):
    """(batch, time, heads * size) -> (time, batch, heads, size), in float32"""
    return jnp.swapaxes(x.reshape(x.shape[0], x.shape[1], heads, -1), 0, 1).astype(jnp.float32)
