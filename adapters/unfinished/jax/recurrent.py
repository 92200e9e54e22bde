"""RNN, GRU and LSTM by ONNX's equations: the products with W for all steps at once, the steps by lax.scan."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from ..kit.interface import Unsupported

#: name: (function of x, alpha and beta; their defaults, None where it has no such number)
ACTIVATIONS = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "elu": (lambda x, alpha, beta: jax.nn.elu(x, alpha), 1.0, None),
    "hardsigmoid": (lambda x, alpha, beta: jnp.clip(alpha * x + beta, 0, 1), 0.2, 0.5),
    "leakyrelu": (lambda x, alpha, beta: jnp.where(x < 0, alpha * x, x), 0.01, None),
    "relu": (lambda x, alpha, beta: jax.nn.relu(x), None, None),
    "scaledtanh": (lambda x, alpha, beta: alpha * jnp.tanh(beta * x), 1.0, 1.0),
    "sigmoid": (lambda x, alpha, beta: jax.nn.sigmoid(x), None, None),
    "softplus": (lambda x, alpha, beta: jax.nn.softplus(x), None, None),
    "softsign": (lambda x, alpha, beta: jax.nn.soft_sign(x), None, None),
    "tanh": (lambda x, alpha, beta: jnp.tanh(x), None, None),
    "thresholdedrelu": (lambda x, alpha, beta: jnp.where(x > alpha, x, 0), 1.0, None),
}


def _activation(name, alphas, betas):
    """The function; takes its alpha and beta from the front of the two lists, as ONNX hands them out."""
    if name.lower() not in ACTIVATIONS:
        raise Unsupported("activation {!r}".format(name))
    function, alpha, beta = ACTIVATIONS[name.lower()]
    alpha = alphas.pop(0) if alpha is not None and alphas else alpha
    beta = betas.pop(0) if beta is not None and betas else beta
    return lambda x: function(x, alpha, beta)


class Layer:
    """What the three operators share: directions, activations, clipping, sequence lengths, output shapes."""

    def __init__(self, x, lengths, hidden, settings, defaults):
        self.batch_first = settings["layout"] == 1
        # (steps, batch, features) from here on.
        self.x = jnp.swapaxes(x, 0, 1) if self.batch_first else x
        self.lengths, self.hidden = lengths, hidden
        direction = settings["direction"]
        if direction not in ("forward", "reverse", "bidirectional"):
            raise Unsupported("direction {!r}".format(direction))
        self.reverses = [False, True] if direction == "bidirectional" else [direction == "reverse"]
        alphas, betas = list(settings["activation_alpha"] or ()), list(settings["activation_beta"] or ())
        names = settings["activations"] or defaults * len(self.reverses)
        functions = [_activation(name, alphas, betas) for name in names]
        self.functions = [functions[i : i + len(defaults)] for i in range(0, len(names), len(defaults))]
        clip = settings["clip"]
        self.clip = (lambda v: jnp.clip(v, -clip, clip)) if clip else (lambda v: v)

    def initial(self, state):
        """(directions, batch, hidden)"""
        if state is None:
            return jnp.zeros((len(self.reverses), self.x.shape[1], self.hidden), self.x.dtype)
        return jnp.swapaxes(state, 0, 1) if self.batch_first else state

    def run(self, cell_of, states):
        """cell_of(direction) gives W, the bias of the inputs (or None) and cell(projected x, states) -> states.

        Returns Y and the last states, in ONNX's shapes.
        """
        outputs, lasts = [], []
        for direction, reverse in enumerate(self.reverses):
            w, bias, cell = cell_of(direction)
            projected = jnp.matmul(self.x, w.T)
            projected = projected if bias is None else projected + bias
            last, ys = self._walk(projected, cell, tuple(state[direction] for state in states), reverse)
            outputs.append(ys)
            lasts.append(last)
        y, ends = jnp.stack(outputs, 1), [jnp.stack(kind) for kind in zip(*lasts)]
        if self.batch_first:
            return (y.transpose(2, 0, 1, 3), *(jnp.swapaxes(end, 0, 1) for end in ends))
        return (y, *ends)

    def _walk(self, projected, cell, states, reverse):
        if self.lengths is None:

            def step(states, x):
                new = cell(x, states)
                return new, new[0]

            return lax.scan(step, states, projected, reverse=reverse)

        def masked_step(states, step_and_x):
            step, x = step_and_x
            new, alive = cell(x, states), (step < self.lengths)[:, None]
            kept = tuple(jnp.where(alive, after, before) for after, before in zip(new, states))
            return kept, jnp.where(alive, new[0], 0)

        return lax.scan(masked_step, states, (jnp.arange(projected.shape[0]), projected), reverse=reverse)


def _halves(b, direction):
    """Wb and Rb of a direction, or None."""
    return (None, None) if b is None else jnp.split(b[direction], 2)


def RNN(
    x, w, r, b=None, lengths=None, h=None, *, hidden_size=None, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", layout=0,
):  # fmt: skip
    layer = Layer(x, lengths, r.shape[-1], locals(), ["Tanh"])

    def cell_of(direction):
        (f,) = layer.functions[direction]
        wb, rb = _halves(b, direction)
        recurrent = r[direction].T

        def cell(x, states):
            return (f(layer.clip(x + jnp.matmul(states[0], recurrent))),)

        return w[direction], None if b is None else wb + rb, cell

    return layer.run(cell_of, [layer.initial(h)])


def GRU(
    x, w, r, b=None, lengths=None, h=None, *, hidden_size=None, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", layout=0, linear_before_reset=0,
):  # fmt: skip
    """Gates in ONNX's order: update z, reset r, hidden h."""
    size = r.shape[-1]
    layer = Layer(x, lengths, size, locals(), ["Sigmoid", "Tanh"])

    def cell_of(direction):
        f, g = layer.functions[direction]
        wb, rb = _halves(b, direction)
        r_gates, r_hidden = r[direction, : 2 * size].T, r[direction, 2 * size :].T
        bias, hidden_bias = wb, 0.0
        if b is not None and linear_before_reset:
            bias, hidden_bias = wb.at[: 2 * size].add(rb[: 2 * size]), rb[2 * size :]
        elif b is not None:
            bias = wb + rb

        def cell(x, states):
            (h,) = states
            gates = f(layer.clip(x[:, : 2 * size] + jnp.matmul(h, r_gates)))
            z, reset = jnp.split(gates, 2, 1)
            if linear_before_reset:
                past = reset * (jnp.matmul(h, r_hidden) + hidden_bias)
            else:
                past = jnp.matmul(reset * h, r_hidden)
            candidate = g(layer.clip(x[:, 2 * size :] + past))
            return ((1 - z) * candidate + z * h,)

        return w[direction], bias, cell

    return layer.run(cell_of, [layer.initial(h)])


def LSTM(
    x, w, r, b=None, lengths=None, h=None, c=None, p=None, *, hidden_size=None, activation_alpha=None,
    activation_beta=None, activations=None, clip=None, direction="forward", input_forget=0, layout=0,
):  # fmt: skip
    """Gates in ONNX's order: input, output, forget, cell."""
    layer = Layer(x, lengths, r.shape[-1], locals(), ["Sigmoid", "Tanh", "Tanh"])

    def cell_of(direction):
        f, g, last = layer.functions[direction]
        wb, rb = _halves(b, direction)
        pi, po, pf = (0.0, 0.0, 0.0) if p is None else jnp.split(p[direction], 3)
        recurrent = r[direction].T

        def cell(x, states):
            h, c = states
            i, o, forget, new = jnp.split(x + jnp.matmul(h, recurrent), 4, 1)
            if p is not None:
                i, forget = i + pi * c, forget + pf * c
            i = f(layer.clip(i))
            forget = 1 - i if input_forget else f(layer.clip(forget))
            c = forget * c + i * g(layer.clip(new))
            o = o if p is None else o + po * c
            return f(layer.clip(o)) * last(c), c

        return w[direction], None if b is None else wb + rb, cell

    return layer.run(cell_of, [layer.initial(h), layer.initial(c)])
