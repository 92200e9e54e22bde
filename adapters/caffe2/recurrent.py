"""ONNX's recurrent operators, unrolled over their static sequence."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import numpy

from ..kit.interface import Unsupported
from .forms import LSTM_GATES, usual_lstm
from .graph import Value, add, call, calls, concat, constant, fc, reshape, scale, slice_axis, split_axis, transpose

_ACTIVATIONS = {
    "relu": lambda x, alpha, beta: call("Relu", x),
    "tanh": lambda x, alpha, beta: call("Tanh", x),
    "sigmoid": lambda x, alpha, beta: call("Sigmoid", x),
    "softsign": lambda x, alpha, beta: call("Softsign", x),
    "leakyrelu": lambda x, alpha, beta: call("LeakyRelu", x, alpha=0.01 if alpha is None else alpha),
    "elu": lambda x, alpha, beta: call("Elu", x, alpha=1.0 if alpha is None else alpha),
    "affine": lambda x, alpha, beta: call("Add", scale(x, alpha), constant(x, beta)),
    "hardsigmoid": lambda x, alpha, beta: call(
        "HardSigmoid", x, alpha=0.2 if alpha is None else alpha, beta=0.5 if beta is None else beta
    ),
    "thresholdedrelu": lambda x, alpha, beta: call("ThresholdedRelu", x, alpha=1.0 if alpha is None else alpha),
}


class _Layer:
    """One direction: its weights, and the activations of its cell.

    w [gates*H, I] and its bias wb; r [gates*H, H] and its bias rb.
    """

    def __init__(self, w: Value, r: Value, b: Optional[Value], activations: List[Callable]):
        self.w, self.r, self.activations = w, r, activations
        if b is None:
            self.wb = self.rb = constant(w, numpy.zeros(w.shape[0]))
        else:
            self.wb, self.rb = split_axis(b, [w.shape[0]] * 2, 0)

    @property
    def hidden(self) -> int:
        return self.r.shape[1]


def _linear(x: Value, w: Value, b: Value) -> Value:
    """x @ w.T + b on the last axis."""
    return call("FC", x, w, b, shape=x.shape[:-1] + w.shape[:1], axis=x.rank - 1)


def _parts(x: Value, count: int) -> Tuple[Value, ...]:
    """Equal parts of the last axis."""
    return split_axis(x, [x.shape[-1] // count] * count, x.rank - 1)


def _activations(names, alphas, betas, defaults, directions):
    names = list(names) if names else list(defaults) * directions
    alphas, betas = list(alphas or []), list(betas or [])
    chosen = []
    for name in names:
        key = name.lower()
        if key not in _ACTIVATIONS:
            raise Unsupported(f"no activation {name!r} in Caffe2")
        alpha = beta = None
        if key in ("leakyrelu", "elu", "thresholdedrelu", "affine", "hardsigmoid"):
            alpha = alphas.pop(0) if alphas else None
        if key in ("affine", "hardsigmoid"):
            beta = betas.pop(0) if betas else None
        chosen.append(lambda x, f=_ACTIVATIONS[key], alpha=alpha, beta=beta: f(x, alpha, beta))
    return chosen


def _recurrent(cell, x, w, r, b, lengths, states, direction, activations, layout):
    """Run a cell over the sequence in each direction.

    cell(layer) returns a function from the gates' input of one moment [1, N, gates*H] and the states [1, N, H] to the
    next states, of which the first is the output. Returns Y [T, D, N, H] and each last state [D, N, H], or with
    layout 1 [N, T, D, H] and [N, D, H].
    """
    if layout:
        x = transpose(x, (1, 0, 2))
        states = [state if state is None else transpose(state, (1, 0, 2)) for state in states]
    length, batch, _ = x.shape
    if lengths is not None and (lengths.array is None or (lengths.array != length).any()):
        raise Unsupported("sequences shorter than the tensor are not unrolled")
    count = len(activations) // w.shape[0]
    outputs, lasts = [], []
    for d in range(w.shape[0]):
        weights = [None if value is None else value.held or _row(value, d) for value in (w, r, b)]
        layer = _Layer(*weights, activations[d * count : (d + 1) * count])
        zero = constant(x, numpy.zeros((1, batch, layer.hidden)))
        now = [zero if state is None else slice_axis(state, 0, d, d + 1) for state in states]
        step = cell(layer)
        product = fc(reshape(x, (length * batch, x.shape[2])), layer.w, layer.wb)
        moments = split_axis(reshape(product, (length, batch, layer.w.shape[0])), [1] * length, 0)
        found = [None] * length
        for t in range(length)[:: -1 if direction == "reverse" or d == 1 else 1]:
            now = step(moments[t], now)
            found[t] = now[0]
        outputs.append(reshape(concat(found, 0), (length, 1, batch, layer.hidden)))
        lasts.append(now)
    y = concat(outputs, 1)
    finals = [concat([last[i] for last in lasts], 0) for i in range(len(states))]
    if layout:
        y = transpose(y, (2, 0, 1, 3))
        finals = [transpose(final, (1, 0, 2)) for final in finals]
    return (y, *finals)


def _row(value: Value, index: int) -> Value:
    return reshape(slice_axis(value, 0, index, index + 1), value.shape[1:])


def _refuse_clip(clip) -> None:
    if clip is not None:
        raise Unsupported("attribute 'clip' is not handled")


def RNN(x, w, r, b=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
        activation_beta=None, clip=None, direction="forward", hidden_size=None, layout=0):  # fmt: skip
    _refuse_clip(clip)
    functions = _activations(activations, activation_alpha, activation_beta, ["Tanh"], w.shape[0])

    def cell(layer):
        def step(moment, states):
            return [layer.activations[0](add(moment, _linear(states[0], layer.r, layer.rb)))]

        return step

    return _recurrent(cell, x, w, r, b, sequence_lens, [initial_h], direction, functions, layout)


def GRU(x, w, r, b=None, sequence_lens=None, initial_h=None, *, activations=None, activation_alpha=None,
        activation_beta=None, clip=None, direction="forward", hidden_size=None, layout=0,
        linear_before_reset=0):  # fmt: skip
    """Gates in ONNX's order: update, reset, hidden."""
    _refuse_clip(clip)
    functions = _activations(activations, activation_alpha, activation_beta, ["Sigmoid", "Tanh"], w.shape[0])

    def cell(layer):
        sizes = [2 * layer.hidden, layer.hidden]
        to_gates, to_hidden = split_axis(layer.r, sizes, 0)
        gates_bias, hidden_bias = split_axis(layer.rb, sizes, 0)

        def step(moment, states):
            before = states[0]
            gates, hidden = split_axis(moment, sizes, 2)
            gates = layer.activations[0](add(gates, _linear(before, to_gates, gates_bias)))
            update, reset = _parts(gates, 2)
            if linear_before_reset:
                recurrent = call("Mul", reset, _linear(before, to_hidden, hidden_bias))
            else:
                recurrent = _linear(call("Mul", reset, before), to_hidden, hidden_bias)
            hidden = layer.activations[1](add(hidden, recurrent))
            return [add(hidden, call("Mul", update, call("Sub", before, hidden)))]

        return step

    return _recurrent(cell, x, w, r, b, sequence_lens, [initial_h], direction, functions, layout)


def LSTM(x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, p=None, *, activations=None,
         activation_alpha=None, activation_beta=None, clip=None, direction="forward", hidden_size=None,
         input_forget=0, layout=0):  # fmt: skip
    """Gates in ONNX's order: input, output, forget, cell."""
    _refuse_clip(clip)
    defaults = ["Sigmoid", "Tanh", "Tanh"]
    functions = _activations(activations, activation_alpha, activation_beta, defaults, w.shape[0])
    attributes = {"activations": activations, "input_forget": input_forget}
    if usual_lstm(attributes, w.shape[0]) and p is None:
        w, r, b = _reordered(w, 1, 4), _reordered(r, 1, 4), None if b is None else _reordered(b, 1, 8)
        cell = _lstm_unit
    elif w.shape[0] > 1 and p is not None:
        raise Unsupported("peepholes in two directions are not handled")
    else:
        # workaround: Caffe2's LSTMUnit has fixed activations, no peepholes and no coupled gates

        def cell(layer):
            return _lstm_composed(layer, p, input_forget)

    return _recurrent(cell, x, w, r, b, sequence_lens, [initial_h, initial_c], direction, functions, layout)


def _reordered(weights: Value, axis: int, blocks: int) -> Value:
    """From ONNX's order of gates to LSTMUnit's. At load where the weights are constant, or kept so."""
    if weights.held is not None:
        return weights
    parts = split_axis(weights, [weights.shape[axis] // blocks] * blocks, axis)
    order = [gate + first for first in range(0, blocks, 4) for gate in LSTM_GATES]
    return concat([parts[i] for i in order], axis)


def _lstm_unit(layer):
    time = layer.w.graph.constant(0, "int32", host=True)

    def step(moment, states):
        gates = add(moment, _linear(states[0], layer.r, layer.rb))
        results = [(state.shape, state.dtype) for state in states]
        found = calls("LSTMUnit", [*states, gates, time], results, sequence_lengths=0)
        layer.w.graph.dangling.update((state.blob, state.shape) for state in found)
        return found

    return step


def _lstm_composed(layer, p, input_forget):
    sigma, tanh_in, tanh_out = layer.activations
    peepholes = split_axis(reshape(p, (p.size,)), [layer.hidden] * 3, 0) if p is not None else None

    def peeped(gate, index, memory):
        return gate if peepholes is None else add(gate, call("Mul", memory, peepholes[index]))

    def step(moment, states):
        memory = states[1]
        enter, leave, forget, fresh = _parts(add(moment, _linear(states[0], layer.r, layer.rb)), 4)
        enter = sigma(peeped(enter, 0, memory))
        if input_forget:
            forget = call("Sub", constant(enter, 1), enter)
        else:
            forget = sigma(peeped(forget, 2, memory))
        memory = add(call("Mul", forget, memory), call("Mul", enter, tanh_in(fresh)))
        leave = sigma(peeped(leave, 1, memory))
        return [call("Mul", leave, tanh_out(memory)), memory]

    return step
