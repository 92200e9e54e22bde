"""ONNX's optimizers (ai.onnx.preview.training, version 1) as updates of shared variables.

The formulas are in docs/architecture.md. What changes with the number of steps made, T, is computed by Python and fed.
"""

from __future__ import annotations

import math
from typing import Any, Callable, List, Tuple

import numpy

import theano
import theano.tensor as T

from ..kit.interface import Unsupported
from .common import constant


class Rule:
    """One optimizer over all parameters. fed: scalars that the step takes; states: shared, all zero at the start."""

    def __init__(self, recipe: Any):
        if recipe.op not in ("Momentum", "Adam", "Adagrad"):
            raise Unsupported("no such optimizer; this adapter has Momentum, Adam and Adagrad", recipe.op)
        self.recipe = recipe
        self.step = recipe.step
        self.states: List[Any] = []
        self.fed: List[Any] = []
        for name, value in recipe.attributes.items():
            setattr(self, name, value)
        varies = self.beta != 1 if recipe.op == "Momentum" else recipe.op == "Adam" or self.decay_factor != 0
        if varies:
            self.fed = [T.fscalar("rate")]

    def reset(self) -> None:
        self.step = self.recipe.step
        for state in self.states:
            state.set_value(numpy.zeros_like(state.get_value(borrow=True)), borrow=True)

    def scalars(self) -> List[numpy.ndarray]:
        """The numbers to feed at the next step."""
        if not self.fed:
            return []
        return [numpy.asarray(self._scalar(self.step), numpy.float32)]

    def _scalar(self, step: int) -> float:
        if self.recipe.op == "Momentum":
            return self.beta if step > 0 else 1.0
        rate = self.recipe.learning_rate
        if self.recipe.op == "Adagrad":
            return rate / (1 + step * self.decay_factor)
        return rate * math.sqrt(1 - self.beta**step) / (1 - self.alpha**step) if step > 0 else rate

    def updates(self, parameters: List[Any], gradients: List[Any]) -> List[Tuple[Any, Any]]:
        """(shared variable, what it becomes) for parameters and states."""
        rule: Callable = getattr(self, "_" + self.recipe.op.lower())
        return [pair for x, g in zip(parameters, gradients) for pair in rule(x, g)]

    def _state(self, x: Any) -> Any:
        state = theano.shared(numpy.zeros_like(x.get_value(borrow=True)), broadcastable=x.broadcastable)
        self.states.append(state)
        return state

    def _number(self, value: float, x: Any) -> Any:
        return constant(value, x.dtype)

    def _rate(self, x: Any) -> Any:
        if self.fed and self.recipe.op != "Momentum":
            return self.fed[0].astype(x.dtype)
        return self._number(self.recipe.learning_rate, x)

    def _regularised(self, x: Any, g: Any) -> Any:
        return self._number(self.norm_coefficient, x) * x + g if self.norm_coefficient else g

    def _momentum(self, x: Any, g: Any) -> list:
        v, g = self._state(x), self._regularised(x, g)
        new = self._number(self.alpha, x) * v + (self.fed[0].astype(x.dtype) * g if self.fed else g)
        way = g + self._number(self.alpha, x) * new if self.mode == "nesterov" else new
        return [(v, new), (x, x - self._rate(x) * way)]

    def _adam(self, x: Any, g: Any) -> list:
        v, h, g = self._state(x), self._state(x), self._regularised(x, g)
        new_v = self._number(self.alpha, x) * v + self._number(1 - self.alpha, x) * g
        new_h = self._number(self.beta, x) * h + self._number(1 - self.beta, x) * T.sqr(g)
        new_x = x - self._rate(x) * new_v / (T.sqrt(new_h) + self._number(self.epsilon, x))
        if self.norm_coefficient_post:
            new_x = self._number(1 - self.norm_coefficient_post, x) * new_x
        return [(v, new_v), (h, new_h), (x, new_x)]

    def _adagrad(self, x: Any, g: Any) -> list:
        h, g = self._state(x), self._regularised(x, g)
        new = h + T.sqr(g)
        return [(h, new), (x, x - self._rate(x) * g / (T.sqrt(new) + self._number(self.epsilon, x)))]
