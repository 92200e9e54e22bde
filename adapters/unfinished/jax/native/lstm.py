"""The LSTM classifier: one product of all inputs, then the steps by lax.scan, of which only the last state is used."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._common import Model, NativeNetwork, adagrad, dense

HIDDEN = 128


class LSTM(Model):
    """lstm.W and lstm.R: (inputs, gates), gates in the Program's order: input, output, forget, cell."""

    def to_own(self, arrays):
        own = {**arrays, "classifier.weight": arrays["classifier.weight"].T}
        own["lstm.B"] = arrays["lstm.B"].reshape(2, 4 * HIDDEN)
        for name in ("lstm.W", "lstm.R"):
            own[name] = arrays[name][0].T
        return own

    def to_program(self, weights):
        arrays = {**weights, "classifier.weight": weights["classifier.weight"].T}
        arrays["lstm.B"] = weights["lstm.B"].reshape(1, 8 * HIDDEN)
        for name in ("lstm.W", "lstm.R"):
            arrays[name] = weights[name].T[None]
        return arrays

    def logits(self, w, tokens):
        x = w["embedding"][tokens.T] @ w["lstm.W"] + w["lstm.B"].sum(0)

        def step(state, x):
            h, c = state
            i, o, f, new = jnp.split(x + h @ w["lstm.R"], 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(new)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        first = jnp.zeros((len(tokens), HIDDEN), x.dtype)
        (h, _), _ = jax.lax.scan(step, (first, first), x)
        return dense(w, "classifier", h)


def load(program, device, options):
    return NativeNetwork(program, device, options, LSTM(), adagrad)
