"""The transformer encoder by hand: normalised before each sublayer, attention by batched_dot."""

from __future__ import annotations

from typing import Any

import numpy

import theano.tensor as T

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import Weights, dense, network

WIDTH, HEADS, LAYERS = 256, 8, 4


def _norm(weights: Weights, name: str, x: Any) -> Any:
    """Rows are (batch * length, width)."""
    centred = x - x.mean(1, keepdims=True)
    deviation = T.sqrt(T.sqr(centred).mean(1, keepdims=True) + numpy.float32(1e-5))
    return centred / deviation * weights[name + ".scale"] + weights[name + ".bias"]


def _linear(weights: Weights, name: str, x: Any) -> Any:
    """A layer whose weight is kept as (inputs, outputs), perhaps without a bias."""
    y, bias = T.dot(x, weights[name + ".weight"]), weights.get(name + ".bias")
    return y if bias is None else y + bias


def _gelu(x: Any) -> Any:
    return numpy.float32(0.5) * x * (1 + T.erf(x * numpy.float32(0.5**0.5)))


def load(program: Program, device: str, options: Options) -> Network:
    batch, length = program.inputs[0].shape
    size = WIDTH // HEADS

    def by_head(x: Any) -> Any:
        """(batch * length, width) -> (batch * heads, length, width / heads)."""
        x = x.reshape((batch, length, HEADS, size)).dimshuffle(0, 2, 1, 3)
        return x.reshape((batch * HEADS, length, size))

    def attention(weights: Weights, name: str, x: Any) -> Any:
        y = _norm(weights, name + ".norm", x)
        q, k, v = (by_head(_linear(weights, f"{name}.{part}", y)) for part in ("query", "key", "value"))
        scores = T.batched_dot(q * numpy.float32(size**-0.5), k.dimshuffle(0, 2, 1))
        chances = T.nnet.softmax(scores.reshape((batch * HEADS * length, length)))
        y = T.batched_dot(chances.reshape((batch * HEADS, length, length)), v)
        y = y.reshape((batch, HEADS, length, size)).dimshuffle(0, 2, 1, 3).reshape((batch * length, WIDTH))
        return x + _linear(weights, name + ".out", y)

    def feed_forward(weights: Weights, name: str, x: Any) -> Any:
        y = _linear(weights, name + ".up", _norm(weights, name + ".norm", x))
        return x + _linear(weights, name + ".down", _gelu(y))

    def logits(weights: Weights, tokens: Any) -> Any:
        x = weights["embedding"][tokens.flatten()].reshape((batch, length, WIDTH)) + weights["position"]
        x = x.reshape((batch * length, WIDTH))
        for number in range(1, LAYERS + 1):
            x = attention(weights, f"layer{number}.attention", x)
            x = feed_forward(weights, f"layer{number}.feed_forward", x)
        x = _norm(weights, "norm", x).reshape((batch, length, WIDTH)).mean(1)
        return dense(weights, "classifier", x)

    return network(program, device, options, logits)
