"""ResNet-18: NHWC. For inference, normalisations are folded into the convolutions before them."""

from __future__ import annotations

import numpy

import jax
import jax.numpy as jnp

from ._common import Model, NativeNetwork, convolved, cross_entropy, dense, max_pool, momentum

EPSILON, MOMENTUM = 1e-5, 0.9


class ResNet18(Model):
    def __init__(self, training):
        self.training = training

    def to_own(self, arrays):
        own = {**arrays, "classifier.weight": arrays["classifier.weight"].T}
        return own if self.training else _folded(own)

    def to_program(self, weights):
        return {**weights, "classifier.weight": weights["classifier.weight"].T}

    def logits(self, w, x):
        return self._pass(w, x)[0]

    def loss(self, w, x, labels):
        logits, statistics = self._pass(w, x)
        return cross_entropy(logits, labels), statistics

    def _pass(self, w, x):
        statistics = {}

        def conv_norm(name, x, stride, padding):
            y = convolved(x, w[name + ".weight"], stride, [(padding, padding)] * 2)
            return self._normalised(w, name, y, statistics)

        def block(name, x, stride):
            y = jax.nn.relu(conv_norm(name + ".conv1", x, stride, 1))
            y = conv_norm(name + ".conv2", y, 1, 1)
            if stride > 1:
                x = conv_norm(name + ".shortcut", x, stride, 0)
            return jax.nn.relu(y + x)

        x = jax.nn.relu(conv_norm("stem", x, 2, 3))
        x = max_pool(x, 3, 2, [(0, 0), (1, 1), (1, 1), (0, 0)])
        for stage in range(1, 5):
            for number in (1, 2):
                x = block("stage{}.block{}".format(stage, number), x, 2 if stage > 1 and number == 1 else 1)
        return dense(w, "classifier", x.mean((1, 2))), statistics

    def _normalised(self, w, name, x, statistics):
        if not self.training:
            return x + w[name + ".bias"]
        norm = name + ".norm"
        mean = x.mean((0, 1, 2))
        variance = jnp.square(x - mean).mean((0, 1, 2))
        for part, value in (("mean", mean), ("variance", variance)):
            key = "{}.{}".format(norm, part)
            statistics[key] = MOMENTUM * w[key] + (1 - MOMENTUM) * value
        return (x - mean) * (w[norm + ".scale"] * jax.lax.rsqrt(variance + EPSILON)) + w[norm + ".bias"]


def _folded(arrays):
    """Every normalisation as a factor of the kernel before it, and a bias."""
    folded = {name: array for name, array in arrays.items() if ".norm." not in name}
    for name in [name[: -len(".norm.scale")] for name in arrays if name.endswith(".norm.scale")]:
        scale, bias, mean, variance = (
            arrays["{}.norm.{}".format(name, part)].astype(numpy.float64)
            for part in ("scale", "bias", "mean", "variance")
        )
        factor = scale / numpy.sqrt(variance + EPSILON)
        folded[name + ".weight"] = (arrays[name + ".weight"] * factor).astype(numpy.float32)
        folded[name + ".bias"] = (bias - mean * factor).astype(numpy.float32)
    return folded


def load(program, device, options):
    return NativeNetwork(program, device, options, ResNet18(program.training is not None), momentum)
