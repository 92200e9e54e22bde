"""ResNet-18: NHWC. For inference normalisations are folded into the convolutions; in training they are TensorFlow's
fused ones, which keep the running statistics themselves.

TensorFlow's running variance is that of a sample, n / (n - 1) times ONNX's: it is kept so, and divided where it leaves.
"""

from __future__ import annotations

import numpy
import tensorflow as tf

from ._common import Model, Momentum, NativeNetwork, cross_entropy

EPSILON, MOMENTUM = 1e-5, 0.9
WIDTHS = (64, 128, 256, 512)


class ResNet18(Model):
    def __init__(self, program):
        batch = program.inputs[0].shape[0]
        self.training = program.training is not None
        #: Values that each mean of a normalisation is taken over, by the side of its image.
        self.counts = {side: batch * side * side for side in (112, 56, 28, 14, 7)}
        self.updates = {}

    def to_own(self, arrays):
        own = dict(arrays, **{"classifier.weight": arrays["classifier.weight"].T.copy()})
        return self._variances(own, lambda variance, n: variance * (n / (n - 1))) if self.training else _folded(own)

    def to_program(self, weights):
        arrays = dict(weights, **{"classifier.weight": weights["classifier.weight"].T})
        return self._variances(arrays, lambda variance, n: variance * ((n - 1) / n))

    def _variances(self, arrays, change):
        for name in arrays:
            if name.endswith(".variance"):
                arrays[name] = change(arrays[name], self.counts[_side(name)]).astype(numpy.float32)
        return arrays

    def logits(self, w, x):
        x = tf.nn.relu(self._conv_norm(w, "stem", x, 2, [[0, 0], [3, 3], [3, 3], [0, 0]]))
        x = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
        for stage in range(1, 5):
            for block in (1, 2):
                x = self._block(w, "stage{}.block{}".format(stage, block), x, 2 if stage > 1 and block == 1 else 1)
        x = tf.reduce_mean(x, [1, 2])
        return tf.nn.bias_add(tf.matmul(x, w["classifier.weight"]), w["classifier.bias"])

    def loss(self, w, x, labels):
        self.updates = {}
        return cross_entropy(self.logits(w, x), labels), self.updates

    def _block(self, w, name, x, stride):
        padding = "SAME" if stride == 1 else [[0, 0], [1, 1], [1, 1], [0, 0]]
        y = tf.nn.relu(self._conv_norm(w, name + ".conv1", x, stride, padding))
        y = self._conv_norm(w, name + ".conv2", y, 1, "SAME")
        if stride > 1:
            x = self._conv_norm(w, name + ".shortcut", x, stride, "VALID")
        return tf.nn.relu(y + x)

    def _conv_norm(self, w, name, x, stride, padding):
        x = tf.nn.conv2d(x, w[name + ".weight"], stride, padding)
        if not self.training:
            return tf.nn.bias_add(x, w[name + ".bias"])
        norm = name + ".norm"
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=w[norm + ".scale"],
            offset=w[norm + ".bias"],
            mean=w[norm + ".mean"],
            variance=w[norm + ".variance"],
            epsilon=EPSILON,
            exponential_avg_factor=1 - MOMENTUM,
            is_training=True,
        )
        self.updates.update({norm + ".mean": mean, norm + ".variance": variance})
        return y


def _folded(arrays):
    """Every normalisation as a factor of the kernel before it, and a bias."""
    folded = dict(arrays)
    for name in [name[: -len(".norm.scale")] for name in arrays if name.endswith(".norm.scale")]:
        scale, bias, mean, variance = (
            arrays[name + ".norm." + part].astype(numpy.float64) for part in ("scale", "bias", "mean", "variance")
        )
        factor = scale / numpy.sqrt(variance + EPSILON)
        folded[name + ".weight"] = (arrays[name + ".weight"] * factor).astype(numpy.float32)
        folded[name + ".bias"] = (bias - mean * factor).astype(numpy.float32)
    return folded


def _side(name):
    """The side of the image that a normalisation sees."""
    if name.startswith("stem"):
        return 112
    return 56 >> (int(name[len("stage")]) - 1)


def load(program, device, options):
    return NativeNetwork(program, device, options, ResNet18(program), Momentum)
