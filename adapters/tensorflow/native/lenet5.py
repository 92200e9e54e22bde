"""LeNet-5: images NHWC, kernels of fully connected layers [inputs, outputs]."""

from __future__ import annotations

import tensorflow as tf

from ._common import Model, Momentum, NativeNetwork

#: The image that is flattened: channels, height, width.
FLAT = (16, 5, 5)


class LeNet5(Model):
    def to_own(self, arrays):
        own = dict(arrays)
        # ONNX flattens [C, H, W]; here it is [H, W, C].
        own["fc1.weight"] = arrays["fc1.weight"].reshape(-1, *FLAT).transpose(2, 3, 1, 0).reshape(400, -1).copy()
        for name in ("fc2.weight", "classifier.weight"):
            own[name] = arrays[name].T.copy()
        return own

    def to_program(self, weights):
        arrays = dict(weights)
        arrays["fc1.weight"] = weights["fc1.weight"].reshape(5, 5, 16, -1).transpose(3, 2, 0, 1).reshape(-1, 400)
        for name in ("fc2.weight", "classifier.weight"):
            arrays[name] = weights[name].T
        return arrays

    def logits(self, w, x):
        x = self._convolved(w, "conv1", x, "SAME")
        x = self._convolved(w, "conv2", x, "VALID")
        x = tf.reshape(x, [x.shape[0], 400])
        x = tf.nn.relu(self._dense(w, "fc1", x))
        x = tf.nn.relu(self._dense(w, "fc2", x))
        return self._dense(w, "classifier", x)

    def _convolved(self, w, name, x, padding):
        x = tf.nn.bias_add(tf.nn.conv2d(x, w[name + ".weight"], 1, padding), w[name + ".bias"])
        return tf.nn.max_pool2d(tf.nn.relu(x), 2, 2, "VALID")

    def _dense(self, w, name, x):
        return tf.nn.bias_add(tf.matmul(x, w[name + ".weight"]), w[name + ".bias"])


def load(program, device, options):
    return NativeNetwork(program, device, options, LeNet5(), Momentum)
