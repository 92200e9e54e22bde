"""LeNet-5 by hand."""

from __future__ import annotations

from typing import Any

import theano.tensor as T
from theano.tensor.signal.pool import pool_2d

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import Weights, dense, network


def logits(weights: Weights, image: Any) -> Any:
    def convolved(name: str, x: Any, border: Any) -> Any:
        y = T.nnet.conv2d(x, weights[name + ".weight"], border_mode=border, filter_flip=False)
        y = T.nnet.relu(y + weights[name + ".bias"].dimshuffle("x", 0, "x", "x"))
        return pool_2d(y, (2, 2), ignore_border=True)

    x = convolved("conv1", image, "half")
    x = convolved("conv2", x, "valid").flatten(2)
    x = T.nnet.relu(dense(weights, "fc1", x))
    x = T.nnet.relu(dense(weights, "fc2", x))
    return dense(weights, "classifier", x)


def load(program: Program, device: str, options: Options) -> Network:
    return network(program, device, options, logits)
