"""LeNet-5 by hand."""

from __future__ import annotations

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Model
from ._optimizers import momentum


def _conv(m: Model, x: str, name: str, pad: int, **arguments) -> str:
    weight, bias = m.weight(f"{name}.weight", fast=True), m.weight(f"{name}.bias", fast=True)
    return m.conv_relu(x, weight, bias, kernel=5, pad=pad, **arguments)


def _pool(m: Model, x: str) -> str:
    return m.ideep("MaxPool", x, kernel=2, stride=2)


def lenet5(m: Model, image: str) -> str:
    x = _pool(m, _conv(m, m.to_ideep(image), "conv1", pad=2, no_gradient_to_input=1))
    x = m.to_cpu(_pool(m, _conv(m, x, "conv2", pad=0)), image=True)
    for name, fc in (("fc1", m.fc if m.training else m.large_fc), ("fc2", m.fc)):
        x = fc(x, m.weight(f"{name}.weight", fast=fc != m.fc), m.weight(f"{name}.bias", fast=fc != m.fc))
        m.cpu("Relu", x, outputs=[x])
    return m.fc(x, m.weight("classifier.weight"), m.weight("classifier.bias"))


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, lenet5, momentum)
