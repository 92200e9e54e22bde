"""ONNX operators on MXNet symbols: LSTM, GRU and RNN, by MXNet's fused RNN operator."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .ops import full, reshape, take_slices, transpose
from .storage import GATES, Gates
from .symbols import F, constant

ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


def LSTM(
    x,
    w,
    r,
    b=None,
    sequence_lens=None,
    initial_h=None,
    initial_c=None,
    peepholes=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    input_forget=0,
    layout=0,
):
    if peepholes is not None or input_forget:
        raise Unsupported("MXNet's LSTM has neither peepholes nor coupled gates")
    _check("LSTM", sequence_lens, activations, clip, direction)
    y, h, c = _fused("lstm", x, w, r, b, (initial_h, initial_c), direction, layout)
    return y, h, c


def GRU(
    x,
    w,
    r,
    b=None,
    sequence_lens=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    layout=0,
    linear_before_reset=0,
):
    if not linear_before_reset:
        raise Unsupported("MXNet's GRU resets after the linear transformation (linear_before_reset=1)")
    _check("GRU", sequence_lens, activations, clip, direction)
    return _fused("gru", x, w, r, b, (initial_h,), direction, layout)


def RNN(
    x,
    w,
    r,
    b=None,
    sequence_lens=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    layout=0,
):
    kinds = set(activations or ["Tanh"])
    if kinds not in ({"Tanh"}, {"Relu"}):
        raise Unsupported("MXNet's RNN has tanh or relu, the same in both directions, not " + ", ".join(sorted(kinds)))
    _check("RNN", sequence_lens, None, clip, direction)
    return _fused("rnn_" + kinds.pop().lower(), x, w, r, b, (initial_h,), direction, layout)


def _check(operator, sequence_lens, activations, clip, direction):
    if sequence_lens is not None:
        raise Unsupported("sequences of different lengths are not handled")
    if clip is not None:
        raise Unsupported("MXNet does not clip inside the gates")
    if activations is not None:
        directions = 2 if direction == "bidirectional" else 1
        if list(activations) != ACTIVATIONS[operator] * directions:
            raise Unsupported("MXNet has only %s for %s" % (ACTIVATIONS[operator], operator))
    if direction not in ("forward", "reverse", "bidirectional"):
        raise Unsupported("direction %r" % direction)


def _fused(mode, x, w, r, b, states, direction, layout):
    """The fused operator. Shapes: x (T, N, I), w (D, gates*H, I), r (D, gates*H, H), b (D, 2*gates*H)."""
    if F.without_cudnn:
        raise Unsupported("MXNet's RNN on a GPU is cuDNN's")
    if x.dtype != "float32":
        raise Unsupported("MXNet's RNN is for float32")
    if layout:
        x = transpose(x, (1, 0, 2))
        states = tuple(s if s is None else transpose(s, (1, 0, 2)) for s in states)
    length, batch, _ = x.shape
    directions, hidden = r.shape[0], r.shape[2]
    if direction == "reverse":
        x = F.reverse(x, axis=0)
    begin = [full((directions, batch, hidden), 0, x.dtype) if s is None else s for s in states]
    outputs = F.RNN(
        x,
        _packed(mode, w, r, b),
        *begin,
        state_size=hidden,
        num_layers=1,
        mode=mode,
        bidirectional=directions == 2,
        state_outputs=True,
        p=0,
    )
    y = reshape(outputs[0], (length, batch, directions, hidden))
    if direction == "reverse":
        y = F.reverse(y, axis=0)
    if layout:
        return (transpose(y, (1, 0, 2, 3)),) + tuple(transpose(s, (1, 0, 2)) for s in outputs[1:])
    return (transpose(y, (0, 2, 1, 3)),) + tuple(outputs[1:])


def _packed(mode, w, r, b):
    """All weights in one vector, as MXNet wants them: matrices, direction by direction, then biases."""
    if b is None:
        b = constant(numpy.zeros((w.shape[0], 2 * w.shape[1]), w.dtype))
    w, r, b = (_in_order(mode, value, 2 if value is b else 1) for value in (w, r, b))
    if all(value.array is not None for value in (w, r, b)):
        pieces = [piece for d in range(w.shape[0]) for piece in (w.array[d].reshape(-1), r.array[d].reshape(-1))]
        return constant(numpy.concatenate(pieces + [b.array.reshape(-1)]))
    pieces = [_direction(value, d) for d in range(w.shape[0]) for value in (w, r)]
    pieces.append(reshape(b, (b.size,)))
    return F._rnn_param_concat(*pieces, dim=0, num_args=len(pieces))


def _direction(value, d):
    one = take_slices(value, [slice(d, d + 1)])
    return reshape(one, (one.size,))


def _in_order(mode, value, blocks):
    """A weight with its gates in MXNet's order: kept so (see storage.py), or brought into it."""
    if mode.upper() not in GATES:
        return value
    if value.stored is not None:
        return value.stored
    order = GATES[mode.upper()]
    return Gates(order, blocks * len(order)).arrange(value)
