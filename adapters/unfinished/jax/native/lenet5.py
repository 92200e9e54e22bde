"""LeNet-5: images NHWC, kernels of fully connected layers (inputs, outputs)."""

from __future__ import annotations

import jax

from ._common import Model, NativeNetwork, convolved, dense, max_pool, momentum


class LeNet5(Model):
    def to_own(self, arrays):
        own = dict(arrays)
        # ONNX flattens (C, H, W); here it is (H, W, C).
        own["fc1.weight"] = arrays["fc1.weight"].reshape(-1, 16, 5, 5).transpose(2, 3, 1, 0).reshape(400, -1)
        for name in ("fc2.weight", "classifier.weight"):
            own[name] = arrays[name].T
        return own

    def to_program(self, weights):
        arrays = dict(weights)
        arrays["fc1.weight"] = weights["fc1.weight"].reshape(5, 5, 16, -1).transpose(3, 2, 0, 1).reshape(-1, 400)
        for name in ("fc2.weight", "classifier.weight"):
            arrays[name] = weights[name].T
        return arrays

    def logits(self, w, x):
        for name, padding in (("conv1", "SAME"), ("conv2", "VALID")):
            x = jax.nn.relu(convolved(x, w[name + ".weight"], 1, padding) + w[name + ".bias"])
            x = max_pool(x, 2, 2)
        x = x.reshape(len(x), -1)
        x = jax.nn.relu(dense(w, "fc1", x))
        x = jax.nn.relu(dense(w, "fc2", x))
        return dense(w, "classifier", x)


def load(program, device, options):
    return NativeNetwork(program, device, options, LeNet5(), momentum)
