"""RNN, GRU and LSTM by ONNX's equations.

The products of the inputs with W are computed for all steps at once; the steps are unrolled where the sequence
is short, and a loop otherwise.
"""

from __future__ import annotations

import tensorflow as tf

from ..kit.interface import Unsupported
from .matrices import is_constant

# workaround: TensorFlow's while loop is slow on a CPU, so that shorter sequences are unrolled. A longer one runs in a
# loop: unrolled, its graph would take long to build.
LONGEST_UNROLLED = 256

#: name: (function of x, alpha and beta; their defaults)
ACTIVATIONS = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "elu": (lambda x, alpha, beta: tf.where(x >= 0, x, alpha * (tf.exp(x) - 1)), 1.0, 0.0),
    "hardsigmoid": (lambda x, alpha, beta: tf.clip_by_value(alpha * x + beta, 0, 1), 0.2, 0.5),
    "leakyrelu": (lambda x, alpha, beta: tf.where(x >= 0, x, alpha * x), 0.01, 0.0),
    "relu": (lambda x, alpha, beta: tf.nn.relu(x), 0.0, 0.0),
    "scaledtanh": (lambda x, alpha, beta: alpha * tf.tanh(beta * x), 1.0, 1.0),
    "sigmoid": (lambda x, alpha, beta: tf.sigmoid(x), 0.0, 0.0),
    "softplus": (lambda x, alpha, beta: tf.nn.softplus(x), 0.0, 0.0),
    "softsign": (lambda x, alpha, beta: tf.nn.softsign(x), 0.0, 0.0),
    "tanh": (lambda x, alpha, beta: tf.tanh(x), 0.0, 0.0),
    "thresholdedrelu": (lambda x, alpha, beta: tf.where(x >= alpha, x, tf.zeros_like(x)), 1.0, 0.0),
}


def _activation(name, alphas, betas):
    """The function; takes its alpha and beta from the front of the two lists, as ONNX hands them out."""
    if name.lower() not in ACTIVATIONS:
        raise Unsupported("activation {!r}".format(name))
    function, alpha, beta = ACTIVATIONS[name.lower()]
    if name.lower() in ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu") and alphas:
        alpha = alphas.pop(0)
    if name.lower() in ("affine", "hardsigmoid", "scaledtanh") and betas:
        beta = betas.pop(0)
    return lambda x: function(x, alpha, beta)


class Layer:
    """What the three operators share: directions, activations, clipping, sequence lengths, output shapes."""

    def __init__(self, x, lengths, direction, layout, clip, activations, alphas, betas, defaults):
        self.batch_first = layout == 1
        # [steps, batch, features] from here on.
        self.x = tf.transpose(x, [1, 0, 2]) if self.batch_first else x
        self.steps, self.batch = int(self.x.shape[0]), int(self.x.shape[1])
        self.lengths = None if lengths is None else self._lengths(lengths)
        if direction not in ("forward", "reverse", "bidirectional"):
            raise Unsupported("direction {!r}".format(direction))
        self.reverses = [False, True] if direction == "bidirectional" else [direction == "reverse"]
        names = list(activations or defaults * len(self.reverses))
        if len(names) != len(defaults) * len(self.reverses):
            raise Unsupported("{} activations".format(len(names)))
        alphas, betas = list(alphas or ()), list(betas or ())
        functions = [_activation(name, alphas, betas) for name in names]
        self.functions = [functions[i : i + len(defaults)] for i in range(0, len(names), len(defaults))]
        self.clip = (lambda v: tf.clip_by_value(v, -clip, clip)) if clip else (lambda v: v)

    def _lengths(self, lengths):
        known = tf.get_static_value(lengths)
        return None if known is not None and (known == self.steps).all() else tf.cast(lengths, tf.int32)

    def initial(self, state, hidden):
        """A state per direction: [batch, hidden] each."""
        if state is None:
            return [tf.zeros([self.batch, hidden], self.x.dtype)] * len(self.reverses)
        return tf.unstack(state, axis=1 if self.batch_first else 0)

    def run(self, cell_of, states):
        """cell_of(direction) gives W, the bias of the inputs (or None) and cell(projected x, states) -> states.

        Returns Y and the last states, in ONNX's shapes.
        """
        outputs, lasts = [], []
        for direction, reverse in enumerate(self.reverses):
            w, bias, cell = cell_of(direction)
            ys, last = self._direction(w, bias, cell, tuple(state[direction] for state in states), reverse)
            outputs.append(ys)
            lasts.append(last)
        if self.batch_first:
            y = _stacked([tf.transpose(ys, [1, 0, 2]) for ys in outputs], 2)
        else:
            y = _stacked(outputs, 1)
        return (y,) + tuple(_stacked(kind, 1 if self.batch_first else 0) for kind in zip(*lasts))

    def _direction(self, w, bias, cell, states, reverse):
        x = self.x
        if reverse:
            x = self._reversed(x)
        flat = tf.matmul(tf.reshape(x, [self.steps * self.batch, int(x.shape[2])]), w, transpose_b=True)
        if bias is not None:
            flat = tf.nn.bias_add(flat, bias)
        projected = tf.reshape(flat, [self.steps, self.batch, int(flat.shape[1])])
        walk = self._unrolled if self.steps <= LONGEST_UNROLLED or tf.executing_eagerly() else self._looped
        ys, states = walk(projected, cell, states)
        return (self._reversed(ys) if reverse else ys), states

    def _reversed(self, x):
        if self.lengths is None:
            return tf.reverse(x, [0])
        return tf.reverse_sequence(x, self.lengths, seq_axis=0, batch_axis=1)

    def _step(self, step, x, cell, states):
        """The states after a step, and its output: past the end of a sequence, what it was, and zero."""
        new = cell(x, states)
        if self.lengths is None:
            return new, new[0]
        alive = tf.expand_dims(step < self.lengths, 1)
        kept = tuple(tf.where(alive, after, before) for after, before in zip(new, states))
        return kept, tf.where(alive, new[0], tf.zeros_like(new[0]))

    def _unrolled(self, projected, cell, states):
        ys = []
        for step, x in enumerate(tf.unstack(projected, axis=0)):
            states, y = self._step(step, x, cell, states)
            ys.append(y)
        return tf.stack(ys), states

    def _looped(self, projected, cell, states):
        def body(step, states, ys):
            states, y = self._step(step, projected[step], cell, states)
            return step + 1, states, ys.write(step, y)

        ys = tf.TensorArray(projected.dtype, self.steps, element_shape=states[0].shape)
        start = (tf.constant(0), states, ys)
        _, states, ys = tf.while_loop(lambda step, *_: step < self.steps, body, start, maximum_iterations=self.steps)
        return tf.ensure_shape(ys.stack(), [self.steps] + states[0].shape.as_list()), states


def _stacked(parts, axis):
    """tf.stack; of a single part without a copy."""
    return tf.stack(parts, axis) if len(parts) > 1 else tf.expand_dims(parts[0], axis)


def _of(v, direction):
    """A direction's part of a weight, to be taken once and not in each step: its gradient is as large as the whole."""
    return tf.squeeze(v, 0) if v.shape[0] == 1 else v[direction]


def _turned(v, direction):
    """A direction's matrix: transposed, and True, if it is a constant of the graph (oneDNN is slower with one it has
    to transpose); else as it is, and False."""
    turned = is_constant(v)
    return (tf.transpose(_of(v, direction)) if turned else _of(v, direction)), turned


def _halves(b, direction):
    """Wb and Rb of a direction, or None."""
    return (None, None) if b is None else tf.split(_of(b, direction), 2)


def RNN(
    x, w, r, b=None, lengths=None, h=None, *, hidden_size, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", layout=0,
):  # fmt: skip
    layer = Layer(x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, ["Tanh"])

    def cell_of(direction):
        (f,) = layer.functions[direction]
        wb, rb = _halves(b, direction)
        recurrent, turned = _turned(r, direction)

        def cell(x, states):
            return (f(layer.clip(x + tf.matmul(states[0], recurrent, transpose_b=not turned))),)

        return _of(w, direction), None if wb is None else wb + rb, cell

    return layer.run(cell_of, [layer.initial(h, hidden_size)])


def GRU(
    x, w, r, b=None, lengths=None, h=None, *, hidden_size, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", layout=0, linear_before_reset=0,
):  # fmt: skip
    """Gates in ONNX's order: update z, reset r, hidden h."""
    layer = Layer(
        x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, ["Sigmoid", "Tanh"]
    )

    def cell_of(direction):
        f, g = layer.functions[direction]
        wb, rb = _halves(b, direction)
        recurrent, turned = _turned(r, direction)
        r_gates, r_hidden = tf.split(recurrent, [2 * hidden_size, hidden_size], 1 if turned else 0)
        bias, hidden_bias = wb, None
        if b is not None and linear_before_reset:
            bias = wb + tf.concat([rb[: 2 * hidden_size], tf.zeros_like(rb[2 * hidden_size :])], 0)
            hidden_bias = rb[2 * hidden_size :]
        elif b is not None:
            bias = wb + rb

        def cell(x, states):
            (h,) = states
            gates = f(layer.clip(x[:, : 2 * hidden_size] + tf.matmul(h, r_gates, transpose_b=not turned)))
            z, reset = tf.split(gates, 2, axis=1)
            if linear_before_reset:
                past = tf.matmul(h, r_hidden, transpose_b=not turned)
                past = reset * (past if hidden_bias is None else past + hidden_bias)
            else:
                past = tf.matmul(reset * h, r_hidden, transpose_b=not turned)
            candidate = g(layer.clip(x[:, 2 * hidden_size :] + past))
            return ((1 - z) * candidate + z * h,)

        return _of(w, direction), bias, cell

    return layer.run(cell_of, [layer.initial(h, hidden_size)])


def LSTM(
    x, w, r, b=None, lengths=None, h=None, c=None, p=None, *, hidden_size, activation_alpha=None, activation_beta=None,
    activations=None, clip=None, direction="forward", input_forget=0, layout=0,
):  # fmt: skip
    """Gates in ONNX's order: input, output, forget, cell."""
    layer = Layer(
        x, lengths, direction, layout, clip, activations, activation_alpha, activation_beta, ["Sigmoid", "Tanh", "Tanh"]
    )

    def cell_of(direction):
        f, g, last = layer.functions[direction]
        wb, rb = _halves(b, direction)
        pi, po, pf = (None, None, None) if p is None else tf.split(_of(p, direction), 3)
        recurrent, turned = _turned(r, direction)

        def cell(x, states):
            h, c = states
            gates = x + tf.matmul(h, recurrent, transpose_b=not turned)
            i, o, forget, new = tf.split(gates, 4, axis=1)
            if p is not None:
                i, forget = i + pi * c, forget + pf * c
            i = f(layer.clip(i))
            forget = 1 - i if input_forget else f(layer.clip(forget))
            c = forget * c + i * g(layer.clip(new))
            if p is not None:
                o = o + po * c
            return f(layer.clip(o)) * last(c), c

        return _of(w, direction), None if wb is None else wb + rb, cell

    return layer.run(cell_of, [layer.initial(h, hidden_size), layer.initial(c, hidden_size)])
