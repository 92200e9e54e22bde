"""The LSTM classifier: one product of all inputs, then the steps unrolled, of which only the last state is used.

TensorFlow's one kernel for a whole sequence (BlockLSTM) is slower on a CPU, three times so in training.
"""

from __future__ import annotations

import tensorflow as tf

from ._common import Adagrad, Model, NativeNetwork

HIDDEN = 128


class LSTM(Model):
    """lstm.W and lstm.R: [inputs, gates], gates in the Program's order: input, output, forget, cell."""

    def to_own(self, arrays):
        own = dict(arrays)
        own["lstm.B"] = arrays["lstm.B"].reshape(2, 4 * HIDDEN)
        for name in ("lstm.W", "lstm.R"):
            own[name] = arrays[name][0].T.copy()
        own["classifier.weight"] = arrays["classifier.weight"].T.copy()
        return own

    def to_program(self, weights):
        arrays = dict(weights)
        arrays["lstm.B"] = weights["lstm.B"].reshape(1, 8 * HIDDEN)
        for name in ("lstm.W", "lstm.R"):
            arrays[name] = weights[name].T[None]
        arrays["classifier.weight"] = weights["classifier.weight"].T
        return arrays

    def logits(self, w, tokens):
        batch, steps = tokens.shape
        x = tf.nn.embedding_lookup(w["embedding"], tf.reshape(tf.transpose(tokens), [steps * batch]))
        x = tf.nn.bias_add(tf.matmul(x, w["lstm.W"]), tf.reduce_sum(w["lstm.B"], 0))
        recurrent = tf.convert_to_tensor(w["lstm.R"])
        h = c = tf.zeros([batch, HIDDEN])
        for projected in tf.split(x, steps):
            i, o, f, new = tf.split(projected + tf.matmul(h, recurrent), 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(new)
            h = tf.sigmoid(o) * tf.tanh(c)
        return tf.nn.bias_add(tf.matmul(h, w["classifier.weight"]), w["classifier.bias"])


def load(program, device, options):
    return NativeNetwork(program, device, options, LSTM(), Adagrad)
