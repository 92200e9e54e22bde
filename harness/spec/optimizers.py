"""The optimizers of ai.onnx.preview.training, version 1: their attributes, defaults, ranges and state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from harness.errors import HarnessError, did_you_mean
from harness.kit import program


@dataclass(frozen=True)
class Kind:
    """attributes: each with the value `harness model train` writes where none is given (ONNX's own default where
    ONNX has one). required: attributes that ONNX gives no default. states: what is kept for each parameter.
    """

    attributes: dict[str, Any]
    required: tuple[str, ...]
    states: tuple[str, ...]


KINDS = {
    "Momentum": Kind(
        {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.0},
        ("alpha", "beta", "mode", "norm_coefficient"),
        ("momentum",),
    ),
    "Adam": Kind(
        {"alpha": 0.9, "beta": 0.999, "epsilon": 1e-6, "norm_coefficient": 0.0, "norm_coefficient_post": 0.0},
        (),
        ("gradient_average", "squared_gradient_average"),
    ),
    "Adagrad": Kind(
        {"decay_factor": 0.0, "epsilon": 1e-6, "norm_coefficient": 0.0},
        (),
        ("squared_gradient_sum",),
    ),
}

MODES = ("standard", "nesterov")


def kind_of(op: str) -> Kind:
    if op not in KINDS:
        raise HarnessError(f"unknown optimizer {op!r}", did_you_mean(op, list(KINDS)))
    return KINDS[op]


def filled(op: str, attributes: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """All attributes of an optimizer: the given ones, and the defaults of the others.

    where: how messages call the optimizer, if not by its operator.
    """
    kind = kind_of(op)
    for name in attributes:
        if name not in kind.attributes:
            raise HarnessError(f"{where or op} has no attribute {name!r}", did_you_mean(name, list(kind.attributes)))
    return {**kind.attributes, **attributes}


def check(optimizer: program.Optimizer, where: str) -> None:
    """Raises HarnessError for a hyper-parameter with which no training makes sense."""
    _demand(where, "learning rate", optimizer.learning_rate, optimizer.learning_rate > 0, "more than 0")
    if isinstance(optimizer.step, bool) or not isinstance(optimizer.step, int) or optimizer.step < 0:
        raise HarnessError(f"{where}: step is {optimizer.step!r}", "It counts steps: a whole number, 0 or more.")
    for name, value in optimizer.attributes.items():
        if name != "mode" and not isinstance(value, (int, float)):
            raise HarnessError(f"{where}: {name} is {value!r}", "It must be a number.")
        if name == "mode":
            if value not in MODES:
                raise HarnessError(f"{where}: mode is {value!r}", did_you_mean(str(value), list(MODES)))
        elif name in ("alpha", "beta") and optimizer.op == "Adam":
            _demand(where, name, value, 0 <= value < 1, "at least 0 and less than 1")
        elif name in ("alpha", "norm_coefficient_post"):
            _demand(where, name, value, 0 <= value <= 1, "between 0 and 1")
        else:
            _demand(where, name, value, value >= 0, "0 or more")


def _demand(where: str, name: str, value: float, holds: bool, wanted: str) -> None:
    if not holds or not math.isfinite(value):
        raise HarnessError(f"{where}: {name} is {value!r}", f"It must be a finite number, {wanted}.")


Array = numpy.ndarray[Any, Any]


def zero_state(optimizer: program.Optimizer, weights: Array) -> tuple[Array, ...]:
    """What the optimizer keeps for each weight before the first step: zeros, in float64."""
    return tuple(numpy.zeros(weights.shape) for _ in kind_of(optimizer.op).states)


def step(
    optimizer: program.Optimizer, made: int, weights: Array, gradient: Array, state: tuple[Array, ...]
) -> tuple[Array, tuple[Array, ...]]:
    """Weights and state after one step, by the definitions of ai.onnx.preview.training 1.

    made: steps made before this one. weights, gradient, state: float64 arrays of one shape.
    """
    rate, given, count = optimizer.learning_rate, optimizer.attributes, optimizer.step + made
    gradient = given["norm_coefficient"] * weights + gradient
    if optimizer.op == "Momentum":
        momentum = given["alpha"] * state[0] + (given["beta"] if count > 0 else 1.0) * gradient
        ahead = gradient + given["alpha"] * momentum if given["mode"] == "nesterov" else momentum
        return weights - rate * ahead, (momentum,)
    if optimizer.op == "Adagrad":
        square = state[0] + gradient**2
        slowed = rate / (1 + count * given["decay_factor"])
        return weights - slowed * gradient / (numpy.sqrt(square) + given["epsilon"]), (square,)
    average = given["alpha"] * state[0] + (1 - given["alpha"]) * gradient
    square = given["beta"] * state[1] + (1 - given["beta"]) * gradient**2
    if count > 0:
        rate *= math.sqrt(1 - given["beta"] ** count) / (1 - given["alpha"] ** count)
    moved = weights - rate * average / (numpy.sqrt(square) + given["epsilon"])
    return (1 - given["norm_coefficient_post"]) * moved, (average, square)
