"""The transformer encoder: normalised before each sublayer."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._common import Model, NativeNetwork, adam, dense

LAYERS, HEADS, EPSILON = 4, 8, 1e-5


class Encoder(Model):
    def to_own(self, arrays):
        own = {name: array for name, array in arrays.items() if name != "scale"}
        own["classifier.weight"] = arrays["classifier.weight"].T
        return own

    def to_program(self, weights):
        return {**weights, "classifier.weight": weights["classifier.weight"].T}

    def logits(self, w, tokens):
        x = w["embedding"][tokens] + w["position"]
        for layer in range(1, LAYERS + 1):
            for part, sublayer in (("attention", _attention), ("feed_forward", _feed_forward)):
                name = "layer{}.{}".format(layer, part)
                x = x + sublayer(w, name, _normalised(w, name + ".norm", x))
        return dense(w, "classifier", _normalised(w, "norm", x).mean(1))


def _attention(w, name, x):
    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, -1)

    query, value = heads(dense(w, name + ".query", x)), heads(dense(w, name + ".value", x))
    mixed = jax.nn.dot_product_attention(query, heads(x @ w[name + ".key.weight"]), value)
    return dense(w, name + ".out", mixed.reshape(x.shape))


def _feed_forward(w, name, x):
    return dense(w, name + ".down", jax.nn.gelu(dense(w, name + ".up", x), approximate=False))


def _normalised(w, name, x):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + EPSILON) * w[name + ".scale"] + w[name + ".bias"]


def load(program, device, options):
    return NativeNetwork(program, device, options, Encoder(), adam, slots=2)
