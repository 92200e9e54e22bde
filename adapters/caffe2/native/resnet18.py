"""ResNet-18 by hand. BatchNormalization is folded into the convolutions for inference."""

from __future__ import annotations

import numpy

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Model
from ._optimizers import momentum

EPSILON, MOMENTUM = 1e-5, 0.9


def _folded(m: Model, name: str):
    """The weight and bias of a convolution that does the normalization after it, too."""
    scale, bias, mean, variance = (
        m.program.weights[f"{name}.norm.{what}"].astype(numpy.float64) for what in ("scale", "bias", "mean", "variance")
    )
    factor = scale / numpy.sqrt(variance + EPSILON)
    weight = m.program.weights[f"{name}.weight"] * factor.reshape(-1, 1, 1, 1)
    return [
        m.constant(f"{name}.{what}", array.astype(numpy.float32), fast=True)
        for what, array in (("weight", weight), ("bias", bias - mean * factor))
    ]


def _normalized(m: Model, x: str, name: str, values: int) -> str:
    """IDEEP keeps the population's variance, as ONNX does, Caffe2's GPU kernel the unbiased one: n/(n-1) times it."""
    mean, variance = m.statistic(f"{name}.mean"), m.statistic(f"{name}.variance", values if m.cuda else 0)
    outputs = [m.new("normalized"), mean, variance, m.new("batch_mean"), m.new("batch_deviation")]
    weights = [m.weight(f"{name}.{what}", fast=True) for what in ("scale", "bias")]
    return m.ideep("SpatialBN", x, *weights, mean, variance, outputs=outputs, is_test=0, epsilon=EPSILON,
                   momentum=MOMENTUM, order="NCHW")  # fmt: skip


def _conv(m: Model, x: str, name: str, side: int, kernel: int, stride: int, relu: bool = True, **more) -> str:
    """side: of the image that it makes."""
    window = {"kernel": kernel, "stride": stride, "pad": kernel // 2, **more}
    if not m.training:
        weights = _folded(m, name)
        return m.conv_relu(x, *weights, **window) if relu else m.ideep("Conv", x, *weights, **window)
    x = m.ideep("Conv", x, m.weight(f"{name}.weight", fast=True), no_bias=1, **window)
    x = _normalized(m, x, f"{name}.norm", m.program.inputs[0].shape[0] * side**2)
    return m.ideep("Relu", x, outputs=[x]) if relu else x


def _block(m: Model, x: str, name: str, side: int, stride: int, widened: bool) -> str:
    y = _conv(m, x, f"{name}.conv1", side, 3, stride)
    if widened:
        x = _conv(m, x, f"{name}.shortcut", side, 1, stride, relu=False)
    if not m.training and not m.cuda:
        window = {"kernel": 3, "stride": 1, "pad": 1}
        return m.ideep("ConvFusion", y, *_folded(m, f"{name}.conv2"), x, outputs=[x], fusion_type=3, **window)
    y = m.ideep("Sum", _conv(m, y, f"{name}.conv2", side, 3, 1, relu=False), x)
    return m.ideep("Relu", y, outputs=[y])


def resnet18(m: Model, image: str) -> str:
    x = _conv(m, m.to_ideep(image), "stem", 112, 7, 2, no_gradient_to_input=1)
    x = m.ideep("MaxPool", x, kernel=3, stride=2, pad=1)
    for stage in range(1, 5):
        for block in (1, 2):
            first = stage > 1 and block == 1
            x = _block(m, x, f"stage{stage}.block{block}", 112 >> stage, 2 if first else 1, first)
    x = m.cpu("AveragePool", m.to_cpu(x, image=True), kernel=7)
    fc = m.fc if m.training else m.large_fc
    return fc(x, *(m.weight(f"classifier.{what}", fast=fc != m.fc) for what in ("weight", "bias")))


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, resnet18, momentum)
