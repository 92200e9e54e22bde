"""ResNet-18 by hand, for inference."""

from __future__ import annotations

from typing import Any

import theano.tensor as T
from theano.tensor.signal.pool import pool_2d

from ...kit.interface import Network, Options, Unsupported
from ...kit.program import Program
from ._common import Weights, dense, network


def _convolved(weights: Weights, name: str, x: Any, stride: int = 1) -> Any:
    """A convolution without bias, then batch normalisation by the running statistics."""
    y = T.nnet.conv2d(x, weights[name + ".weight"], border_mode="half", subsample=(stride, stride), filter_flip=False)
    scale, bias, mean, variance = (
        weights[f"{name}.norm.{part}"].dimshuffle("x", 0, "x", "x") for part in ("scale", "bias", "mean", "variance")
    )
    return (y - mean) * (scale / T.sqrt(variance + T.constant(1e-5, dtype="float32"))) + bias


def _block(weights: Weights, name: str, x: Any, stride: int) -> Any:
    y = T.nnet.relu(_convolved(weights, name + ".conv1", x, stride))
    y = _convolved(weights, name + ".conv2", y)
    if name + ".shortcut.weight" in weights:
        x = _convolved(weights, name + ".shortcut", x, stride)
    return T.nnet.relu(y + x)


def logits(weights: Weights, image: Any) -> Any:
    x = T.nnet.relu(_convolved(weights, "stem", image, 2))
    x = pool_2d(x, (3, 3), ignore_border=True, stride=(2, 2), pad=(1, 1))
    for stage in range(1, 5):
        for block in (1, 2):
            x = _block(weights, f"stage{stage}.block{block}", x, 2 if stage > 1 and block == 1 else 1)
    return dense(weights, "classifier", x.mean((2, 3)))


def load(program: Program, device: str, options: Options) -> Network:
    if program.training:
        raise Unsupported("this network was written by hand for inference only")
    return network(program, device, options, logits)
