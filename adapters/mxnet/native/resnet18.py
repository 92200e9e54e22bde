"""ResNet-18 in Gluon, as its model zoo writes it (the first version's blocks)."""

from __future__ import annotations

import numpy
from mxnet.gluon import nn

from ._common import GluonNetwork, Kept

WIDTHS = (64, 128, 256, 512)


def _convolution(inputs, outputs, kernel, stride):
    return nn.Conv2D(outputs, kernel, stride, kernel // 2, in_channels=inputs, use_bias=False)


def _norm(channels):
    return nn.BatchNorm(momentum=0.9, epsilon=1e-5, in_channels=channels)


class Block(nn.HybridBlock):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.norm1 = _convolution(inputs, outputs, 3, stride), _norm(outputs)
        self.conv2, self.norm2 = _convolution(outputs, outputs, 3, 1), _norm(outputs)
        self.shortcut = self.shortcut_norm = None
        if stride != 1 or inputs != outputs:
            self.shortcut, self.shortcut_norm = _convolution(inputs, outputs, 1, stride), _norm(outputs)

    def hybrid_forward(self, F, x):
        y = F.Activation(self.norm1(self.conv1(x)), act_type="relu")
        y = self.norm2(self.conv2(y))
        rest = x if self.shortcut is None else self.shortcut_norm(self.shortcut(x))
        return F.Activation(y + rest, act_type="relu")

    def layers(self):
        """Convolutions and their norms, by name."""
        found = {"conv1": (self.conv1, self.norm1), "conv2": (self.conv2, self.norm2)}
        if self.shortcut is not None:
            found["shortcut"] = (self.shortcut, self.shortcut_norm)
        return found


def _variance(parameter, count):
    """cuDNN keeps the unbiased variance of `count` values, ONNX the population's."""
    factor = numpy.float32(count / (count - 1))
    return Kept(parameter, to_mxnet=lambda array: array * factor, to_onnx=lambda array: array / factor)


def load(program, device, options):
    batch, _, side, _ = program.inputs[0].shape
    body = nn.HybridSequential()
    body.add(_convolution(3, 64, 7, 2), _norm(64), nn.Activation("relu"), nn.MaxPool2D(3, 2, 1))
    layers = {"stem": (body[0], body[1], side // 2)}
    inputs = 64
    for stage, width in enumerate(WIDTHS, 1):
        for number in (1, 2):
            block = Block(inputs, width, 2 if stage > 1 and number == 1 else 1)
            body.add(block)
            prefix = "stage%d.block%d." % (stage, number)
            layers.update((prefix + name, (*layer, side >> (stage + 1))) for name, layer in block.layers().items())
            inputs = width
    classifier = nn.Dense(1000, in_units=512)
    body.add(nn.GlobalAvgPool2D(), nn.Flatten(), classifier)
    weights = {"classifier.weight": Kept(classifier.weight), "classifier.bias": Kept(classifier.bias)}
    unbiased = device == "cuda" and program.training is not None
    for name, (convolution, norm, extent) in layers.items():
        weights[name + ".weight"] = Kept(convolution.weight)
        weights[name + ".norm.scale"] = Kept(norm.gamma)
        weights[name + ".norm.bias"] = Kept(norm.beta)
        weights[name + ".norm.mean"] = Kept(norm.running_mean)
        variance = norm.running_var
        weights[name + ".norm.variance"] = _variance(variance, batch * extent**2) if unbiased else Kept(variance)
    return GluonNetwork(program, device, options, body, weights, fused=True)
