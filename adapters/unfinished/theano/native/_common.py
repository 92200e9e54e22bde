"""From a function that maps symbols and shared weights to logits to a network of the kit.

Theano has no optimizers: everybody writes updates of shared variables, and `optimizers.py` has them already.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import theano.tensor as T

from ...kit.interface import Network, Options
from ...kit.program import Program
from .. import settings
from ..network import GraphNetwork, input_variable, weight

Weights = Dict[str, Any]


def network(program: Program, device: str, options: Options, logits: Callable[[Weights, Any], Any]) -> Network:
    """logits(weights, data): scores of the classes. Trained by their cross-entropy with the last input, the labels."""
    settings.check(device, options)
    inputs = [input_variable(tensor) for tensor in program.inputs]
    weights = {tensor.name: weight(program, tensor.name) for tensor in program.initializers}
    scores = logits(weights, inputs[0])
    if not program.training:
        return GraphNetwork(program, inputs, [scores], weights)
    loss = T.mean(T.nnet.categorical_crossentropy(T.nnet.softmax(scores), inputs[-1]))
    return GraphNetwork(program, inputs, [], weights, loss)


def dense(weights: Weights, name: str, x: Any) -> Any:
    """A layer whose weight is kept as (outputs, inputs)."""
    return T.dot(x, weights[name + ".weight"].T) + weights[name + ".bias"]
