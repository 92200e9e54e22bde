"""Caffe2's optimizers, with ONNX's numbers. Each returns the state that it keeps: {blob: first value}."""

from __future__ import annotations

from typing import Any, Dict

import numpy

from ._common import IDEEP, Model

#: An iteration so late that Caffe2's Adam corrects no bias any more, as ONNX's does not in its first step.
_NEVER = 2**40


def _where(model: Model, parameter: str) -> Dict[str, Any]:
    """The device of a parameter, which is also that of its gradient and of what the optimizer keeps."""
    return {"device_option": IDEEP} if parameter in model.fast else {}


def _kept(model: Model, what: str, parameter: str) -> str:
    name = f"{parameter}.{what}"
    if parameter in model.fast:
        model.fast.add(name)
    return name


def momentum(model: Model, gradients: Dict[str, str]) -> Dict[str, numpy.ndarray]:
    """Caffe2 keeps R*V where ONNX keeps V, which is the same for a constant R."""
    recipe = model.program.training.optimizer
    decay = recipe.attributes["norm_coefficient"]
    state = {"rate": numpy.array([recipe.learning_rate], numpy.float32)}
    model.host.add("rate")
    for where in ("", ".ideep"):
        model.constant(f"one{where}", numpy.ones(1, numpy.float32), fast=bool(where))
        model.constant(f"decay{where}", numpy.array([decay], numpy.float32), fast=bool(where))
    for parameter, gradient in gradients.items():
        where, velocity = _where(model, parameter), _kept(model, "velocity", parameter)
        if where and model.weights[parameter].ndim == 4:
            # IDEEP's update takes numbers as they lie, and its convolutions leave gradients in blocks
            gradient = model.ideep("Transpose", gradient, axes=[0, 1, 2, 3])
        if decay:
            side = ".ideep" if where else ""
            model.cpu("WeightedSum", gradient, f"one{side}", parameter, f"decay{side}", outputs=[gradient], **where)
        model.cpu("MomentumSGDUpdate", gradient, velocity, "rate", parameter, outputs=[gradient, velocity, parameter],
                  momentum=recipe.attributes["alpha"], nesterov=0, **where)  # fmt: skip
        state[velocity] = numpy.zeros_like(model.weights[parameter])
    return state


def adam(model: Model, gradients: Dict[str, str]) -> Dict[str, numpy.ndarray]:
    """Caffe2 corrects the bias by its iteration + 1, ONNX by the steps made before, and not at all in the first."""
    recipe = model.program.training.optimizer
    state = {"rate": numpy.array([-recipe.learning_rate], numpy.float32), "iteration": numpy.array([_NEVER])}
    model.host.add("iteration")
    model.before_step = {0: {"iteration": numpy.array([_NEVER])}, 1: {"iteration": numpy.array([0])}}
    for parameter, gradient in gradients.items():
        first, second = (_kept(model, what, parameter) for what in ("first", "second"))
        model.cpu("Adam", parameter, first, second, gradient, "rate", "iteration", outputs=[parameter, first, second],
                  beta1=recipe.attributes["alpha"], beta2=recipe.attributes["beta"],
                  epsilon=recipe.attributes["epsilon"], **_where(model, parameter))  # fmt: skip
        state.update((name, numpy.zeros_like(model.weights[parameter])) for name in (first, second))
    model.cpu("Iter", "iteration", outputs=["iteration"])
    return state


def adagrad(model: Model, gradients: Dict[str, str]) -> Dict[str, numpy.ndarray]:
    recipe = model.program.training.optimizer
    state = {"rate": numpy.array([-recipe.learning_rate], numpy.float32)}
    for parameter, gradient in gradients.items():
        squares = f"{parameter}.squares"
        model.cpu("Adagrad", parameter, squares, gradient, "rate", outputs=[parameter, squares],
                  epsilon=recipe.attributes["epsilon"])  # fmt: skip
        state[squares] = numpy.zeros_like(model.weights[parameter])
    return state
