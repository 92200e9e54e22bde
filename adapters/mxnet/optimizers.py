"""ONNX's optimizers (ai.onnx.preview.training, version 1) by MXNet's update operators, in place on the device.

The formulas are in docs/architecture.md. MXNet's momentum buffer is m = -R*V; with a constant R it is the same rule.
"""

from __future__ import annotations

import math

import mxnet

from ..kit.interface import Unsupported

nd = mxnet.nd

# workaround: MXNet's aggregated updates take at most this many weights in one call
AGGREGATED = 45


class Rule:
    """One optimizer over all parameters. states: one list per kind of state, in the order of the parameters."""

    kinds = 0

    def __init__(self, recipe, weights, gradients):
        self.recipe = recipe
        self.weights = weights
        self.gradients = gradients
        self.states = [[nd.zeros_like(weight) for weight in weights] for _ in range(self.kinds)]
        self.step = recipe.step
        for name, value in recipe.attributes.items():
            setattr(self, name, value)

    def reset(self):
        """Back to the state before the first step."""
        self.step = self.recipe.step
        for state in self.states:
            for array in state:
                array[:] = 0

    def update(self):
        """One step with the gradients that lie in `gradients`."""
        self.apply(self.recipe.learning_rate)
        self.step += 1

    def apply(self, rate):
        raise NotImplementedError

    def regularized(self, weight, gradient):
        """G' = norm_coefficient * X + G."""
        return gradient + weight * self.norm_coefficient if self.norm_coefficient else gradient


class Momentum(Rule):
    kinds = 1

    def __init__(self, recipe, weights, gradients):
        super().__init__(recipe, weights, gradients)
        rows = list(zip(weights, gradients, self.states[0]))
        self._groups = []
        for dtype in sorted({str(weight.dtype) for weight in weights}):
            same = [row for row in rows if str(row[0].dtype) == dtype]
            self._groups += [same[i : i + AGGREGATED] for i in range(0, len(same), AGGREGATED)]
        self._flat = [([a for row in group for a in row], [row[0] for row in group]) for group in self._groups]

    def apply(self, rate):
        scaled = rate * self.beta if self.step > 0 else rate
        for arrays, weights in self._flat:
            nd.multi_sgd_mom_update(
                *arrays,
                out=weights,
                lrs=(scaled,) * len(weights),
                wds=(self.norm_coefficient,) * len(weights),
                momentum=self.alpha,
                num_weights=len(weights),
            )


class Nesterov(Momentum):
    """X' = X - R*(G' + alpha*V')."""

    def apply(self, rate):
        # workaround: nag_mom_update is ONNX's step only for beta = 1 and norm_coefficient = 0
        if self.norm_coefficient or (self.step > 0 and self.beta != 1):
            self._composed(rate)
            return
        for weight, gradient, momentum in zip(self.weights, self.gradients, self.states[0]):
            nd.nag_mom_update(weight, gradient, momentum, out=weight, lr=rate, momentum=self.alpha)

    def _composed(self, rate):
        for weight, gradient, momentum in zip(self.weights, self.gradients, self.states[0]):
            slope = self.regularized(weight, gradient)
            momentum *= self.alpha
            momentum -= slope * (rate * self.beta if self.step > 0 else rate)
            weight += momentum * self.alpha - slope * rate


class Adam(Rule):
    kinds = 2

    def apply(self, rate):
        if self.step > 0:
            rate *= math.sqrt(1 - self.beta**self.step) / (1 - self.alpha**self.step)
        for weight, gradient, mean, square in zip(self.weights, self.gradients, *self.states):
            nd.adam_update(
                weight,
                gradient,
                mean,
                square,
                out=weight,
                lr=rate,
                beta1=self.alpha,
                beta2=self.beta,
                epsilon=self.epsilon,
                wd=self.norm_coefficient,
            )
            if self.norm_coefficient_post:
                weight *= 1 - self.norm_coefficient_post


class Adagrad(Rule):
    """In the memory of one array for each parameter: every operator more costs a pass over all of them."""

    # workaround: MXNet's AdaGrad adds epsilon within the root, and has an operator for sparse gradients only

    kinds = 2  # the second is where a step is computed

    def apply(self, rate):
        rate /= 1 + self.step * self.decay_factor
        for weight, gradient, squares, scratch in zip(self.weights, self.gradients, *self.states):
            slope = self.regularized(weight, gradient)
            nd.square(slope, out=scratch)
            squares += scratch
            nd.sqrt(squares, out=scratch)
            scratch += self.epsilon
            nd.elemwise_div(slope, scratch, out=scratch)
            nd.sgd_update(weight, scratch, out=weight, lr=rate, wd=0)


def make(recipe, weights, gradients):
    """The rule for a Program's optimizer. Raises `Unsupported` for one that is not ONNX's."""
    nesterov = recipe.op == "Momentum" and recipe.attributes["mode"] == "nesterov"
    rules = {"Momentum": Nesterov if nesterov else Momentum, "Adam": Adam, "Adagrad": Adagrad}
    if recipe.op not in rules:
        raise Unsupported("no such optimizer; this adapter has " + ", ".join(rules), recipe.op)
    return rules[recipe.op](recipe, weights, gradients)
