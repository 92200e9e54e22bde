"""ONNX's optimizers (ai.onnx.preview.training, version 1), each a formula for one parameter.

Formulas: ONNX's operator documentation; docs/architecture.md repeats them. What depends on T, the number of steps made
before, is computed in float64 and is one number for all parameters.
"""

from __future__ import annotations

import jax.numpy as jnp

from ..kit.interface import Unsupported


def _fed(settings, x, gradient):
    norm = settings["norm_coefficient"]
    return gradient + norm * x if norm else gradient


def _momentum(rate, settings, t, x, gradient, velocity):
    gradient = _fed(settings, x, gradient)
    alpha, beta = settings["alpha"], settings["beta"]
    first = 1.0 if beta == 1 else jnp.where(t > 0, beta, 1.0).astype(x.dtype)
    velocity = alpha * velocity + first * gradient
    step = gradient + alpha * velocity if settings["mode"] == "nesterov" else velocity
    return x - rate * step, velocity


def _adam(rate, settings, t, x, gradient, mean, square):
    gradient = _fed(settings, x, gradient)
    alpha, beta = settings["alpha"], settings["beta"]
    mean = alpha * mean + (1 - alpha) * gradient
    square = beta * square + (1 - beta) * gradient * gradient
    later = jnp.maximum(t, 1).astype(jnp.float64)
    corrected = rate * jnp.sqrt(1 - beta**later) / (1 - alpha**later)
    rate = jnp.where(t > 0, corrected, rate).astype(x.dtype)
    x = x - rate * mean / (jnp.sqrt(square) + settings["epsilon"])
    return (1 - settings["norm_coefficient_post"]) * x, mean, square


def _adagrad(rate, settings, t, x, gradient, square):
    gradient = _fed(settings, x, gradient)
    rate = (rate / (1 + t.astype(jnp.float64) * settings["decay_factor"])).astype(x.dtype)
    square = square + gradient * gradient
    return x - rate * gradient / (jnp.sqrt(square) + settings["epsilon"]), square


#: The formula, and how many tensors of state a parameter has.
_FORMULAS = {"Momentum": (_momentum, 1), "Adam": (_adam, 2), "Adagrad": (_adagrad, 1)}


class Optimizer:
    """One recipe of a Program. State is a dict {parameter: list of tensors}."""

    def __init__(self, recipe):
        if recipe.op not in _FORMULAS:
            raise Unsupported("no such optimizer", operator=recipe.op)
        self.recipe = recipe
        self.formula, self.slots = _FORMULAS[recipe.op]

    def initial(self, parameters):
        return {name: [jnp.zeros_like(x) for _ in range(self.slots)] for name, x in parameters.items()}

    def update(self, t, parameters, gradients, state):
        """New parameters and new state. t: a scalar tensor."""
        new, slots = {}, {}
        for name, x in parameters.items():
            new[name], *slots[name] = self.formula(
                self.recipe.learning_rate, self.recipe.attributes, t, x, gradients[name], *state[name]
            )
        return new, slots
