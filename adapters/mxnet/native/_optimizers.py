"""ONNX's optimizers by MXNet's update operators, as a user writes a step without Gluon's Trainer.

The Trainer calls the same operators, with more Python around each; its Adam corrects the bias one step earlier than
ONNX's, and its AdaGrad adds epsilon under the root.
"""

from __future__ import annotations

import math

from mxnet import nd

from ...kit.interface import Unsupported

#: MXNet's updates of many weights in one call take at most this many.
AGGREGATED = 45


class Momentum:
    def __init__(self, recipe, weights, gradients):
        self._rate, self._settings = recipe.learning_rate, recipe.attributes
        if self._settings["mode"] != "standard" or self._settings["beta"] != 1:
            raise Unsupported("MXNet's own momentum is ONNX's standard mode with beta = 1")
        self._momenta = [nd.zeros_like(weight) for weight in weights]
        rows = list(zip(weights, gradients, self._momenta))
        self._groups = [rows[i : i + AGGREGATED] for i in range(0, len(rows), AGGREGATED)]

    def reset(self):
        _zero(self._momenta)

    def update(self):
        for group in self._groups:
            nd.multi_sgd_mom_update(
                *[array for row in group for array in row],
                out=[weight for weight, _, _ in group],
                lrs=[self._rate] * len(group),
                wds=[self._settings["norm_coefficient"]] * len(group),
                momentum=self._settings["alpha"],
                num_weights=len(group),
            )


class Adam:
    def __init__(self, recipe, weights, gradients):
        self._rate, self._settings = recipe.learning_rate, recipe.attributes
        if self._settings["norm_coefficient_post"]:
            raise Unsupported("MXNet's own Adam has no norm_coefficient_post")
        self._means = [nd.zeros_like(weight) for weight in weights]
        self._squares = [nd.zeros_like(weight) for weight in weights]
        self._rows = list(zip(weights, gradients, self._means, self._squares))
        self._step = self._first = recipe.step

    def reset(self):
        self._step = self._first
        _zero(self._means + self._squares)

    def update(self):
        mean_decay, square_decay, rate = self._settings["alpha"], self._settings["beta"], self._rate
        if self._step > 0:
            rate *= math.sqrt(1 - square_decay**self._step) / (1 - mean_decay**self._step)
        settings = {"beta1": mean_decay, "beta2": square_decay, "epsilon": self._settings["epsilon"]}
        for weight, gradient, mean, square in self._rows:
            nd.adam_update(
                weight, gradient, mean, square, out=weight, lr=rate, wd=self._settings["norm_coefficient"], **settings
            )
        self._step += 1


class AdaGrad:
    """Element by element in the memory of one array, since MXNet's own operator is another formula."""

    def __init__(self, recipe, weights, gradients):
        self._recipe = recipe
        if recipe.attributes["norm_coefficient"]:
            raise Unsupported("written for norm_coefficient = 0")
        self._histories = [nd.zeros_like(weight) for weight in weights]
        scratch = [nd.empty(weight.shape, weight.context) for weight in weights]
        self._rows = list(zip(weights, gradients, self._histories, scratch))
        self._step = recipe.step

    def reset(self):
        self._step = self._recipe.step
        _zero(self._histories)

    def update(self):
        rate = self._recipe.learning_rate / (1 + self._step * self._recipe.attributes["decay_factor"])
        for weight, gradient, history, scratch in self._rows:
            nd.square(gradient, out=scratch)
            history += scratch
            nd.sqrt(history, out=scratch)
            scratch += self._recipe.attributes["epsilon"]
            nd.elemwise_div(gradient, scratch, out=scratch)
            nd.sgd_update(weight, scratch, out=weight, lr=rate, wd=0)
        self._step += 1


def _zero(arrays):
    for array in arrays:
        array[:] = 0


def optimizer(recipe, weights, gradients):
    """The optimizer of a Program, over arrays of weights and of their gradients."""
    return {"Momentum": Momentum, "Adam": Adam, "Adagrad": AdaGrad}[recipe.op](recipe, weights, gradients)
