"""ONNX's attention operators. Attention is torch's fused call wherever that computes the same."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from . import ops
from .dtypes import torch_type


def Attention(
    q, k, v, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal=0, kv_num_heads=None,
    left_window_size=-1, q_num_heads=None, qk_matmul_output_mode=0, right_window_size=-1, scale=None, softcap=0.0,
    softmax_precision=None,
):  # fmt: skip
    flat = q.ndim == 3
    if flat:
        q, k, v = (_by_head(x, n) for x, n in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    if past_key is not None:
        k, v = torch.cat((past_key, k), 2), torch.cat((past_value, v), 2)
    present = k, v
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    window = left_window_size, 0 if is_causal else right_window_size
    offset = 0 if past_key is None else past_key.shape[2]
    allowed = _allowed(q.shape[2], k.shape[2], window, offset, nonpad_kv_seqlen)
    mask, empty = _mask(allowed, attn_mask, k.shape[2], q.dtype)
    y, stages = _in_steps(q, k, v, mask, empty, scale, softcap, softmax_precision)
    if not softcap and _is_fused(q, softmax_precision):
        # What is not wanted of the steps is not computed: nothing reads it.
        plain = is_causal and left_window_size < 0 and not offset and attn_mask is None and nonpad_kv_seqlen is None
        masked = {"is_causal": True} if plain else {"attn_mask": mask}
        y = F.scaled_dot_product_attention(q, k, v, scale=scale, **masked)
        y = y if empty is None else torch.where(empty, torch.zeros((), dtype=y.dtype), y)
    if flat:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return (y, *present, stages[qk_matmul_output_mode])


def _by_head(x, heads):
    """(batch, time, heads*size) as (batch, heads, time, size)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _is_fused(q, softmax_precision):
    """Whether torch's fused call rounds as ONNX does."""
    # workaround: on a CPU torch's fused attention rounds float16 once, at the end, and has no softmax in another type.
    precise = softmax_precision is None or torch_type(softmax_precision) == q.dtype
    return precise and not (q.dtype == torch.float16 and q.device.type == "cpu")


def _allowed(queries, keys, window, offset, lengths):
    """Which keys each query may see by its place: a window of keys around it, and how many keys are real.

    offset: the keys before the first query; where `lengths`, of each batch element's real keys, are given, its last
    query stands at its last real key. None where all keys are seen.
    """
    left, right = window
    columns, parts = torch.arange(keys), []
    if lengths is not None:
        lengths = lengths.to(torch.int64).reshape(-1, 1, 1, 1)
        parts.append(columns < lengths)
        offset = lengths - queries
    ahead = columns - torch.arange(queries).reshape(-1, 1) - offset
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
        missing = keys - given.shape[-1]
        if missing > 0:
            given = F.pad(given, [0, missing], value=False if given.dtype == torch.bool else -math.inf)
        if given.dtype == torch.bool:
            allowed, given = given if allowed is None else allowed & given, None
    if allowed is None and given is None:
        return None, None
    zero = torch.zeros((), dtype=dtype)
    mask = zero if given is None else given
    if allowed is not None:
        mask = torch.where(allowed, mask, torch.full((), -math.inf, dtype=dtype))
    empty = mask.amax(-1, True) == -math.inf
    if isinstance(empty, torch.Tensor) and not empty.any():
        return mask, None
    return torch.where(empty, zero, mask), empty


def _in_steps(q, k, v, mask, empty, scale, softcap, softmax_precision):
    """Attention as ONNX's function body has it: (y, the scores after each stage that ONNX numbers)."""
    root = torch.full((), math.sqrt(scale), dtype=q.dtype)
    scores = torch.matmul(q * root, k.transpose(-1, -2) * root)
    capped = torch.tanh(scores / softcap) * softcap if softcap else scores
    biased = capped if mask is None else capped + mask
    wide = biased if softmax_precision is None else biased.to(torch_type(softmax_precision))
    zero = torch.zeros((), dtype=q.dtype)
    if empty is None:
        weights = ops.Softmax(wide).to(q.dtype)
        return torch.matmul(weights, v), (scores, capped, biased, weights)
    finite = torch.where(empty, torch.zeros((), dtype=wide.dtype), wide)
    weights = torch.where(empty, zero, ops.Softmax(finite).to(q.dtype))
    biased = torch.where(empty, torch.full((), -math.inf, dtype=q.dtype), biased)
    return torch.matmul(weights, v), (scores, capped, biased, weights)


def LinearAttention(
    query, key, value, past_state=None, decay=None, beta=None, *, q_num_heads, kv_num_heads, chunk_size=0, scale=0.0,
    update_rule="gated_delta",
):  # fmt: skip
    """A recurrence over time, in float32: the state decays, is corrected by `beta`, takes in a key and its value."""
    batch, length, _ = query.shape
    q, k, v = _heads(query, q_num_heads), _heads(key, kv_num_heads), _heads(value, kv_num_heads)
    decay = None if decay is None else _heads(decay, kv_num_heads).exp()
    beta = None if beta is None else _heads(beta, beta.shape[-1])
    kind = query.dtype if past_state is None else past_state.dtype
    if past_state is None:
        state = torch.zeros(batch, kv_num_heads, k.shape[-1], v.shape[-1])
    else:
        state = past_state.to(torch.float32)
    scale, outputs = scale or k.shape[-1] ** -0.5, []
    for time in range(length):
        written = v[:, :, time]
        if decay is not None:
            state = state * decay[:, :, time].unsqueeze(-1)
        if beta is not None:
            written = beta[:, :, time] * (written - torch.einsum("bhdm,bhd->bhm", state, k[:, :, time]))
        state = state + k[:, :, time].unsqueeze(-1) * written.unsqueeze(-2)
        read = state.repeat_interleave(q_num_heads // kv_num_heads, 1)
        outputs.append(torch.einsum("bhdm,bhd->bhm", read, q[:, :, time]) * scale)
    y = torch.stack(outputs, 1).reshape(batch, length, -1)
    return y.to(query.dtype), state.to(kind)


def _heads(x, count):
    """`_by_head`, in float32."""
    return _by_head(x, count).to(torch.float32)
