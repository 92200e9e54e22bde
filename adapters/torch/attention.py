"""ONNX's attention operators that have no body of simpler operators which a static program can hold."""

from __future__ import annotations

import torch


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
    """(batch, time, heads*size) as (batch, heads, time, size) in float32."""
    return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(1, 2).to(torch.float32)
