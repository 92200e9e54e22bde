"""The transformer encoder by hand, normalised before each sublayer. Tokens stand in rows: [batch * length, width]."""

from __future__ import annotations

from math import sqrt

import numpy

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Model
from ._optimizers import adam

WIDTH, HEADS, LAYERS, EPSILON = 256, 8, 4, 1e-5


def _linear(m: Model, x: str, name: str, bias: bool = True) -> str:
    weight = m.transposed(f"{name}.weight")
    if not bias:
        zeros = m.constant(f"{name}.zeros", numpy.zeros(m.weights[weight].shape[0], numpy.float32), fast=True)
        return m.large_fc(x, weight, zeros)
    return m.large_fc(x, weight, m.weight(f"{name}.bias", fast=True))


def _norm(m: Model, x: str, name: str) -> str:
    weights = m.weight(f"{name}.scale"), m.weight(f"{name}.bias")
    outputs = [m.new("norm"), m.new("mean"), m.new("deviation")]
    return m.cpu("LayerNorm", x, *weights, outputs=outputs, axis=1, epsilon=EPSILON, elementwise_affine=True)


def _heads(m: Model, x: str, length: int) -> str:
    """[batch * length, width] -> [batch, heads, length, width / heads]."""
    return m.cpu("Transpose", m.reshaped(x, -1, length, HEADS, WIDTH // HEADS), axes=[0, 2, 1, 3])


def _attention(m: Model, x: str, name: str, length: int) -> str:
    query = m.cpu("Scale", _linear(m, x, f"{name}.query"), scale=1 / sqrt(WIDTH / HEADS))
    query = _heads(m, query, length)
    key = _heads(m, _linear(m, x, f"{name}.key", bias=False), length)
    value = _heads(m, _linear(m, x, f"{name}.value"), length)
    weights = m.cpu("Softmax", m.cpu("BatchMatMul", query, key, trans_b=1), axis=3)
    mixed = m.cpu("Transpose", m.cpu("BatchMatMul", weights, value), axes=[0, 2, 1, 3])
    return _linear(m, m.reshaped(mixed, -1, WIDTH), f"{name}.out")


def _gelu(m: Model, x: str) -> str:
    """x/2 * (1 + erf(x/sqrt(2))). Caffe2's Gelu calls erf for one number at a time: five times slower."""
    half, curve = m.cpu("Scale", x, scale=0.5), m.cpu("Erf", m.cpu("Scale", x, scale=sqrt(0.5)))
    return m.cpu("Sum", half, m.cpu("Mul", half, curve))


def _feed_forward(m: Model, x: str, name: str, length: int) -> str:
    return _linear(m, _gelu(m, _linear(m, x, f"{name}.up")), f"{name}.down")


def _mean(m: Model, x: str, batch: int, length: int) -> str:
    """Over the tokens: [batch * length, width] -> [batch, width]."""
    x = m.reshaped(x, batch, length, WIDTH, in_place=not m.training)
    m.constant("average", numpy.full((batch, 1, length), 1 / length, numpy.float32))
    return m.reshaped(m.cpu("BatchMatMul", "average", x), batch, WIDTH)


def encoder(m: Model, tokens: str) -> str:
    batch, length = m.program.inputs[0].shape
    x = m.embedded(m.reshaped(tokens, -1, in_place=False), "embedding")
    x = m.cpu("Add", m.reshaped(x, batch, length, WIDTH), m.weight("position"))
    x = m.reshaped(x, batch * length, WIDTH)
    for i in range(1, LAYERS + 1):
        for part, sublayer in (("attention", _attention), ("feed_forward", _feed_forward)):
            name = f"layer{i}.{part}"
            x = m.cpu("Sum", x, sublayer(m, _norm(m, x, f"{name}.norm"), name, length))
    x = _mean(m, _norm(m, x, "norm"), batch, length)
    return m.fc(x, m.weight("classifier.weight"), m.weight("classifier.bias"))


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, encoder, adam)
