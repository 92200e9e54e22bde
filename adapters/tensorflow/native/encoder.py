"""The transformer encoder: activations as matrices [batch * length, width], so that biases and GELU are fused."""

from __future__ import annotations

import tensorflow as tf

from ._common import Adam, Model, NativeNetwork

LENGTH, WIDTH, HEADS, LAYERS = 128, 256, 8, 4
EPSILON = 1e-5


class Encoder(Model):
    def to_own(self, arrays):
        own = {name: array for name, array in arrays.items() if name != "scale"}
        own["classifier.weight"] = arrays["classifier.weight"].T.copy()
        return own

    def to_program(self, weights):
        return dict(weights, **{"classifier.weight": weights["classifier.weight"].T})

    def logits(self, w, tokens):
        batch = tokens.shape[0]
        x = tf.nn.embedding_lookup(w["embedding"], tokens) + w["position"]
        x = tf.reshape(x, [batch * LENGTH, WIDTH])
        for layer in range(1, LAYERS + 1):
            for name, part in (("attention", self._attention), ("feed_forward", self._feed_forward)):
                name = "layer{}.{}".format(layer, name)
                x += part(w, name, self._normalised(w, name + ".norm", x), batch)
        x = tf.reshape(self._normalised(w, "norm", x), [batch, LENGTH, WIDTH])
        return self._dense(w, "classifier", tf.reduce_mean(x, 1))

    def _attention(self, w, name, x, batch):
        def heads(x):
            return tf.transpose(tf.reshape(x, [batch, LENGTH, HEADS, WIDTH // HEADS]), [0, 2, 1, 3])

        query = heads(self._dense(w, name + ".query", x) * (WIDTH // HEADS) ** -0.5)
        key, value = heads(tf.matmul(x, w[name + ".key.weight"])), heads(self._dense(w, name + ".value", x))
        mixed = tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True)), value)
        mixed = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * LENGTH, WIDTH])
        return self._dense(w, name + ".out", mixed)

    def _feed_forward(self, w, name, x, batch):
        return self._dense(w, name + ".down", tf.nn.gelu(self._dense(w, name + ".up", x)))

    def _dense(self, w, name, x):
        return tf.nn.bias_add(tf.matmul(x, w[name + ".weight"]), w[name + ".bias"])

    def _normalised(self, w, name, x):
        x -= tf.reduce_mean(x, -1, keepdims=True)
        factor = tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + EPSILON)
        return x * factor * w[name + ".scale"] + w[name + ".bias"]


def load(program, device, options):
    return NativeNetwork(program, device, options, Encoder(), Adam)
