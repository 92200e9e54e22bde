"""LeNet-5 by hand."""

from __future__ import annotations

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Model
from ._optimizers import momentum


def _conv(m: Model, x: str, name: str, pad: int) -> str:
    weight, bias = m.weight(f"{name}.weight", fast=True), m.weight(f"{name}.bias", fast=True)
    return m.conv_relu(x, weight, bias, kernel=5, pad=pad)


def _pool(m: Model, x: str) -> str:
    return m.ideep("MaxPool", x, kernel=2, stride=2)


def lenet5(m: Model, image: str) -> str:
    x = _pool(m, _conv(m, m.to_ideep(image), "conv1", pad=2))
    x = m.to_cpu(_pool(m, _conv(m, x, "conv2", pad=0)), image=True)
    for name in ("fc1", "fc2"):
        x = m.cpu("Relu", m.fc(x, m.weight(f"{name}.weight"), m.weight(f"{name}.bias")))
    return m.fc(x, m.weight("classifier.weight"), m.weight("classifier.bias"))


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, lenet5, momentum)
