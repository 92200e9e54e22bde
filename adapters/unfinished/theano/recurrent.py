"""ONNX operators on Theano's variables: LSTM, GRU and RNN, by theano.scan. Products with the inputs are made for all
steps at once, before the loop."""

from __future__ import annotations

import theano
import theano.tensor as T

from ..kit.interface import Unsupported
from .common import FLOATS, constant, extents, full, known, patterned, require, reshape

DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
FUNCTIONS = {
    "Sigmoid": T.nnet.sigmoid,
    "Tanh": T.tanh,
    "Relu": lambda x: T.switch(x <= constant(0, x.dtype), constant(0, x.dtype), x),
    "Softsign": lambda x: x / (constant(1, x.dtype) + abs(x)),
}


def LSTM(
    x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, peepholes=None, *, activation_alpha=None,
    activation_beta=None, activations=None, clip=None, direction="forward", hidden_size=None, input_forget=0,
    layout=0,
):  # fmt: skip
    if input_forget:
        raise Unsupported("input_forget=1")
    layer = Layer("LSTM", x, w, r, b, (initial_h, initial_c), sequence_lens, activations, clip, direction, layout)
    return layer.run(_lstm, peepholes)


def GRU(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0, linear_before_reset=0,
):  # fmt: skip
    layer = Layer("GRU", x, w, r, b, (initial_h,), sequence_lens, activations, clip, direction, layout)
    return layer.run(_gru_reset_after if linear_before_reset else _gru_reset_before)


def RNN(
    x, w, r, b=None, sequence_lens=None, initial_h=None, *, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", hidden_size=None, layout=0,
):  # fmt: skip
    layer = Layer("RNN", x, w, r, b, (initial_h,), sequence_lens, activations, clip, direction, layout)
    return layer.run(_rnn)


class Layer:
    """One recurrent layer, time first. Shapes: x (T, N, I), w (D, gates*H, I), r (D, gates*H, H), b (D, 2*gates*H)."""

    def __init__(self, operator, x, w, r, b, states, sequence_lens, activations, clip, direction, layout):
        require(x, FLOATS, operator)
        shape = extents(x)
        self.length, self.batch = (shape[1], shape[0]) if layout else shape[:2]
        lengths = None if sequence_lens is None else known(sequence_lens)
        if sequence_lens is not None and (lengths is None or (lengths != self.length).any()):
            raise Unsupported("sequences of different lengths")
        if clip:
            raise Unsupported("clip=%s" % clip)
        self.x = x.dimshuffle(1, 0, 2) if layout else x
        self.inputs, self.batch_first = shape[2], layout
        self.w, self.r, self.b = w, r, b
        self.directions, self.rows, self.hidden = extents(r)
        self.backwards = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
        self.states = [self._state(state) for state in states]
        self.activations = activations or DEFAULTS[operator] * self.directions
        unknown = set(self.activations) - set(FUNCTIONS)
        if unknown:
            raise Unsupported("activations " + ", ".join(sorted(unknown)))

    def _state(self, state):
        if state is None:
            return full((self.directions, self.batch, self.hidden), 0, self.x.dtype)
        return state.dimshuffle(1, 0, 2) if self.batch_first else state

    def run(self, step, peepholes=None):
        """ONNX's outputs: y (T, N, D, H) turned, then the last states."""
        columns, lasts = [], []
        for d, backwards in enumerate(self.backwards):
            sequences = self._direction(step, d, backwards, peepholes)
            last = 0 if backwards else self.length - 1
            columns.append(sequences[0])
            lasts.append([sequence[last] for sequence in sequences])
        axis = 2 if self.batch_first else 1
        y = T.stack(columns, axis=axis)  # (T, D, N, H) or (T, N, D, H)
        y = y.dimshuffle(1, 0, 2, 3) if self.batch_first else y
        states = [T.stack(list(group), axis=1 if self.batch_first else 0) for group in zip(*lasts)]
        return (y,) + tuple(states)

    def _direction(self, step, d, backwards, peepholes):
        """The states after every step, each (T, N, H), in the order of time."""
        count = len(self.activations) // self.directions
        functions = [FUNCTIONS[name] for name in self.activations[d * count : (d + 1) * count]]
        flat = T.dot(reshape(self.x, (self.length * self.batch, self.inputs)), self.w[d].T)
        recurrent, bias = self.r[d].T, None
        if self.b is not None:
            flat, bias = flat + self.b[d, : self.rows], self.b[d, self.rows :]
        given = reshape(flat, (self.length, self.batch, self.rows))
        cell = Cell(functions, self.hidden, recurrent, bias, None if peepholes is None else peepholes[d])
        shape = (self.batch, self.hidden)
        count = len(self.states)

        def advance(inputs, *state):
            # scan hands over no more than it was given: the extents that are 1 are told again
            new = step(cell, inputs, [patterned(one, shape) for one in state[:count]])
            return [T.unbroadcast(one, 0, 1) for one in new]

        first = [T.unbroadcast(patterned(state[d], shape), 0, 1) for state in self.states]
        constants = [one for one in (recurrent, bias, cell.peepholes) if one is not None]
        results, _ = theano.scan(
            advance,
            sequences=[given],
            outputs_info=first,
            non_sequences=constants,
            go_backwards=backwards,
            strict=False,
        )
        results = results if isinstance(results, list) else [results]
        return [one[::-1] for one in results] if backwards else results


class Cell:
    """What the steps of one direction share. recurrent (H, gates*H), bias (gates*H,) or None, peepholes (3*H,)."""

    def __init__(self, functions, hidden, recurrent, bias, peepholes):
        self.functions, self.hidden = functions, hidden
        self.recurrent, self.bias, self.peepholes = recurrent, bias, peepholes

    def product(self, h, first=0, last=None):
        """What the state and the recurrent biases give to some of the gates."""
        columns = slice(first * self.hidden, None if last is None else last * self.hidden)
        whole = first == 0 and last is None
        y = T.dot(h, self.recurrent if whole else self.recurrent[:, columns])
        return y if self.bias is None else y + (self.bias if whole else self.bias[columns])

    def gates(self, value, count):
        return [value[:, i * self.hidden : (i + 1) * self.hidden] for i in range(count)]

    def peep(self, i, gate, c):
        if self.peepholes is None:
            return gate
        return gate + c * self.peepholes[i * self.hidden : (i + 1) * self.hidden]


def _lstm(cell, inputs, state):
    h, c = state
    i, o, f, g = cell.gates(inputs + cell.product(h), 4)
    gate, candidate, output = cell.functions
    new = gate(cell.peep(2, f, c)) * c + gate(cell.peep(0, i, c)) * candidate(g)
    return [gate(cell.peep(1, o, new)) * output(new), new]


def _gru_reset_before(cell, inputs, state):
    """linear_before_reset=0: the state is reset, then goes through the linear transformation."""
    (h,) = state
    xz, xr, xh = cell.gates(inputs, 3)
    hz, hr = cell.gates(cell.product(h, 0, 2), 2)
    return _blended(cell, xz + hz, xh + cell.product(cell.functions[0](xr + hr) * h, 2), h)


def _gru_reset_after(cell, inputs, state):
    (h,) = state
    xz, xr, xh = cell.gates(inputs, 3)
    hz, hr, hh = cell.gates(cell.product(h), 3)
    return _blended(cell, xz + hz, xh + cell.functions[0](xr + hr) * hh, h)


def _blended(cell, gate, candidate, h):
    """(1 - z) * candidate + z * h; 1 - sigmoid(x) as sigmoid(-x), which is exact where the gate is nearly open."""
    z = cell.functions[0](gate)
    rest = T.nnet.sigmoid(-gate) if cell.functions[0] is FUNCTIONS["Sigmoid"] else constant(1, gate.dtype) - z
    return [rest * cell.functions[1](candidate) + z * h]


def _rnn(cell, inputs, state):
    (h,) = state
    return [cell.functions[0](inputs + cell.product(h))]
