"""ONNX operators on MXNet symbols: LSTM, GRU and RNN, by MXNet's fused RNN operator where it computes the same, else
unrolled into one set of operators per time step: exact, and slow.
"""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .ops import Add, Mul, Sub, affine, full, require, reshape, transpose
from .ops_shape import take_slices
from .storage import GATES, Gates
from .symbols import F, constant

ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}

FUNCTIONS = {
    "Relu": lambda v: F.relu(v),
    "Sigmoid": lambda v: F.sigmoid(v),
    "Tanh": lambda v: F._npi_tanh(v),
    "Softsign": lambda v: F.softsign(v),
}


def LSTM(
    x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, peepholes=None, *, activation_alpha=None,
    activation_beta=None, activations=None, clip=None, direction="forward", hidden_size=None, input_forget=0,
    layout=0,
):  # fmt: skip
    if input_forget:
        raise Unsupported("input_forget=1")
    layer = Layer("LSTM", x, w, r, b, (initial_h, initial_c), sequence_lens, activations, clip, direction, layout)
    if peepholes is None and layer.standard:
        return layer.fused("lstm")
    return layer.unrolled(_lstm_step, peepholes)


def GRU(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0, linear_before_reset=0,
):  # fmt: skip
    layer = Layer("GRU", x, w, r, b, (initial_h,), sequence_lens, activations, clip, direction, layout)
    if linear_before_reset and layer.standard:
        return layer.fused("gru")
    return layer.unrolled(_gru_reset_after if linear_before_reset else _gru_reset_before)


def RNN(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0,
):  # fmt: skip
    layer = Layer("RNN", x, w, r, b, (initial_h,), sequence_lens, activations, clip, direction, layout)
    kinds = set(layer.activations)
    if layer.fusable and kinds in ({"Tanh"}, {"Relu"}):
        return layer.fused("rnn_" + kinds.pop().lower())
    return layer.unrolled(_rnn_step)


class Layer:
    """One recurrent layer, time first. Shapes: x (T, N, I), w (D, gates*H, I), r (D, gates*H, H), b (D, 2*gates*H)."""

    def __init__(self, operator, x, w, r, b, states, sequence_lens, activations, clip, direction, layout):
        require(x, ("float32", "float64"), operator)
        length = x.shape[1 if layout else 0]
        if sequence_lens is not None and (sequence_lens.array is None or (sequence_lens.array != length).any()):
            raise Unsupported("sequences of different lengths are not handled")
        if clip:
            raise Unsupported("clip=%s: MXNet does not clip inside the gates" % clip)
        if direction not in ("forward", "reverse", "bidirectional"):
            raise Unsupported("direction=%r" % direction)
        self.operator, self.w, self.r, self.b = operator, w, r, b
        self.batch_first, self.backwards = layout, direction == "reverse"
        self.directions, _, self.hidden = r.shape
        self.x = transpose(x, (1, 0, 2)) if layout else x
        self.length, self.batch, _ = self.x.shape
        shape = (self.directions, self.batch, self.hidden)
        self.states = [self._swapped(s) if s is not None else full(shape, 0, x.dtype) for s in states]
        self.activations = activations or ACTIVATIONS[operator] * self.directions
        unknown = set(self.activations) - set(FUNCTIONS)
        if unknown:
            raise Unsupported("activations " + ", ".join(sorted(unknown)))
        self.fusable = x.dtype == "float32" and not F.without_cudnn
        self.standard = self.fusable and list(self.activations) == ACTIVATIONS[operator] * self.directions

    def _swapped(self, value):
        return transpose(value, (1, 0, 2)) if self.batch_first else value

    def _result(self, y, states):
        """ONNX's outputs from y (T, N, D, H) and states (D, N, H)."""
        y = transpose(y, (1, 0, 2, 3) if self.batch_first else (0, 2, 1, 3))
        return (y,) + tuple(self._swapped(s) for s in states)

    def fused(self, mode):
        """By MXNet's RNN operator."""
        x = F.reverse(self.x, axis=0) if self.backwards else self.x
        outputs = F.RNN(
            x,
            self._packed(),
            *self.states,
            state_size=self.hidden,
            num_layers=1,
            mode=mode,
            bidirectional=self.directions == 2,
            state_outputs=True,
            p=0,
        )
        y = reshape(outputs[0], (self.length, self.batch, self.directions, self.hidden))
        return self._result(F.reverse(y, axis=0) if self.backwards else y, outputs[1:])

    def _packed(self):
        """All weights in one vector, as MXNet wants them: matrices, direction by direction, then biases. Where they
        are kept so, they are this layer's alone."""
        b = self.b
        if self.w.packed is not None:
            return self.w.packed
        if b is None:
            b = constant(numpy.zeros((self.directions, 2 * self.w.shape[1]), self.w.dtype))
        w, r, b = (self._in_order(*pair) for pair in ((self.w, 1), (self.r, 1), (b, 2)))
        if all(value.array is not None for value in (w, r, b)):
            pieces = [piece.reshape(-1) for d in range(self.directions) for piece in (w.array[d], r.array[d])]
            return constant(numpy.concatenate(pieces + [b.array.reshape(-1)]))
        pieces = [_direction(value, d, (-1,)) for d in range(self.directions) for value in (w, r)]
        pieces.append(reshape(b, (b.size,)))
        return F._rnn_param_concat(*pieces, dim=0, num_args=len(pieces))

    def _in_order(self, value, blocks):
        """A weight with its gates in MXNet's order: kept so (see storage.py), or brought into it."""
        if self.operator not in GATES:
            return value
        if value.stored is not None:
            return value.stored
        order = GATES[self.operator]
        return Gates(order, blocks * len(order)).arrange(value)

    def unrolled(self, step, *extra):
        """One set of operators per time step. extra: more weights, of shape (D, ...) or None."""
        # workaround: MXNet's RNN operator has no peepholes, no GRU with linear_before_reset=0, no other activations and
        # no float64
        columns, lasts = [], []
        for d in range(self.directions):
            cell = Cell(self, d, [None if value is None else _direction(value, d) for value in extra])
            state = [_direction(s, d) for s in self.states]
            outputs = [None] * self.length
            backwards = self.backwards or d == 1
            for t in reversed(range(self.length)) if backwards else range(self.length):
                state = step(cell, take_slices(cell.inputs, [slice(t, t + 1)]), state)
                outputs[t] = reshape(state[0], (1, self.batch, 1, self.hidden))
            columns.append(_joined(outputs, 0))
            lasts.append([reshape(s, (1, self.batch, self.hidden)) for s in state])
        return self._result(_joined(columns, 2), [_joined(list(group), 0) for group in zip(*lasts)])


class Cell:
    """One direction of a layer. inputs (T, N, gates*H): what the inputs and the input biases give to all gates."""

    def __init__(self, layer, d, extra):
        count = len(layer.activations) // layer.directions
        self.functions = [FUNCTIONS[name] for name in layer.activations[d * count : (d + 1) * count]]
        self.hidden, self.batch, self.extra = layer.hidden, layer.batch, extra
        w, self.r = _direction(layer.w, d), _direction(layer.r, d)
        rows = w.shape[0]
        if layer.b is None:
            b = full((2 * rows,), 0, w.dtype)
        else:
            b = _direction(layer.b, d)
        self.bias = take_slices(b, [slice(rows, None)])
        self.inputs = affine(layer.x, w, take_slices(b, [slice(0, rows)]))

    def recurrent(self, h, first=0, last=None):
        """What the state and the recurrent biases give to some of the gates."""
        rows = slice(first * self.hidden, None if last is None else last * self.hidden)
        r, bias = take_slices(self.r, [rows]), take_slices(self.bias, [rows])
        return affine(h, r, bias)

    def gates(self, value):
        """Split (..., gates*H) into its gates, each (N, H)."""
        value = reshape(value, (self.batch, value.size // self.batch))
        ranges = [slice(i, i + self.hidden) for i in range(0, value.shape[1], self.hidden)]
        return [take_slices(value, [slice(None), one]) for one in ranges]


def _lstm_step(cell, inputs, state):
    h, c = state
    i, o, f, g = (Add(a, b) for a, b in zip(cell.gates(inputs), cell.gates(cell.recurrent(h))))
    gate, candidate, output = cell.functions
    (peepholes,) = cell.extra
    pi, po, pf = (None,) * 3 if peepholes is None else _three_parts(peepholes, cell.hidden)
    c = Add(Mul(gate(_peep(f, pf, c)), c), Mul(gate(_peep(i, pi, c)), candidate(g)))
    return [Mul(gate(_peep(o, po, c)), output(c)), c]


def _three_parts(value, hidden):
    return [take_slices(value, [slice(i * hidden, (i + 1) * hidden)]) for i in range(3)]


def _peep(gate, weight, c):
    return gate if weight is None else Add(gate, Mul(c, weight))


def _gru_reset_before(cell, inputs, state):
    """linear_before_reset=0: the state is reset, then goes through the linear transformation."""
    (h,) = state
    xz, xr, xh = cell.gates(inputs)
    z, r = (cell.functions[0](Add(a, b)) for a, b in zip((xz, xr), cell.gates(cell.recurrent(h, 0, 2))))
    return _gru_blend(cell, z, Add(xh, cell.recurrent(Mul(r, h), 2)), h)


def _gru_reset_after(cell, inputs, state):
    (h,) = state
    xz, xr, xh = cell.gates(inputs)
    hz, hr, hh = cell.gates(cell.recurrent(h))
    z, r = cell.functions[0](Add(xz, hz)), cell.functions[0](Add(xr, hr))
    return _gru_blend(cell, z, Add(xh, Mul(r, hh)), h)


def _gru_blend(cell, z, candidate, h):
    """(1 - z) * candidate + z * h."""
    candidate = cell.functions[1](candidate)
    return [Add(candidate, Mul(z, Sub(h, candidate)))]


def _rnn_step(cell, inputs, state):
    (h,) = state
    return [cell.functions[0](Add(reshape(inputs, h.shape), cell.recurrent(h)))]


def _direction(value, d, shape=None):
    """The part of one direction, without the axis of directions."""
    one = take_slices(value, [slice(d, d + 1)])
    return reshape(one, value.shape[1:] if shape is None else (one.size,))


def _joined(values, axis):
    return values[0] if len(values) == 1 else F.Concat(*values, dim=axis, num_args=len(values))
