"""ONNX's optimizers (ai.onnx.preview.training, version 1) on torch's fused kernels: one call for all tensors.

What of a formula depends on T, the number of steps made before, is one number. It lies in a tensor on the device, so
that a step that is captured once and replayed reads it anew; `begin` fills it without waiting.
Formulas: ONNX's operator documentation; docs/architecture.md repeats them.
"""

from __future__ import annotations

import math
from typing import Dict, List, Sequence

import torch

from ..kit.interface import Unsupported
from ..kit.program import Optimizer as Recipe

Tensors = List[torch.Tensor]


class Optimizer:
    """Changes `parameters` in place. slots: the lists of state tensors (V, H, ...), one tensor a parameter."""

    slot_count = 1

    def __init__(self, recipe: Recipe, parameters: Tensors, captured: bool):
        self.rate = recipe.learning_rate
        self.attributes = recipe.attributes
        self.norm = recipe.attributes["norm_coefficient"]
        self.first_step = self.steps = recipe.step
        self.parameters, self.captured = parameters, captured
        self.slots = [[torch.zeros_like(p) for p in parameters] for _ in range(self.slot_count)]
        self.number = torch.zeros((), device=parameters[0].device)
        self._filled = 0.0
        self._strides = [p.stride() for p in parameters]
        self._groups = list(_by_type(parameters).values())

    def reset(self) -> None:
        self.steps = self.first_step
        for slot in self.slots:
            torch._foreach_zero_(slot)

    def begin(self) -> None:
        """Start the next step: set the number that depends on T."""
        value = self.coefficient(self.steps)
        if value != self._filled:
            self.number.fill_(value)
            self._filled = value
        self.steps += 1

    def apply(self, gradients: Sequence[torch.Tensor]) -> None:
        """Finish it. Call under no_grad."""
        kept = zip(gradients, self.parameters, self._strides)
        self.update([g if g.stride() == strides else _laid_out(g, like) for g, like, strides in kept])

    def update(self, gradients: Tensors) -> None:
        """The formula. Each gradient lies in memory as its parameter does."""
        if len(self._groups) == 1:
            return self.step(self.parameters, gradients, *self.slots)
        for group in self._groups:
            self.step(*[[tensors[i] for i in group] for tensors in (self.parameters, gradients, *self.slots)])

    def coefficient(self, step: int) -> float:
        """The number, where T is `step`."""
        raise NotImplementedError

    def step(self, parameters: Tensors, gradients: Tensors, *slots: Tensors) -> None:
        """The formula on tensors of one element type."""
        raise NotImplementedError


# workaround: torch's fused kernels do not look how a gradient lies in memory: another order gives wrong updates.
def _laid_out(gradient: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A gradient that lies in memory as another tensor does; strides of axes of one element mean nothing."""
    axes = [i for i, extent in enumerate(like.shape) if extent > 1]
    if all(gradient.stride(i) == like.stride(i) for i in axes):
        return gradient
    return torch.empty_like(like).copy_(gradient)


# workaround: torch's fused kernels take tensors of one element type at a time.
def _by_type(tensors: Tensors) -> Dict[torch.dtype, List[int]]:
    """Where the tensors of each element type stand."""
    found: Dict[torch.dtype, List[int]] = {}
    for i, tensor in enumerate(tensors):
        found.setdefault(tensor.dtype, []).append(i)
    return found


class Momentum(Optimizer):
    """torch's SGD: its dampening is 1 - beta, and its first step too takes the gradient as it is."""

    def coefficient(self, step):
        return self.attributes["beta"] if step > 0 else 1.0

    def step(self, parameters, gradients, velocity):
        alpha, beta, nesterov = self.attributes["alpha"], self.attributes["beta"], self.attributes["mode"] == "nesterov"
        if beta != 1 and (self.captured or not alpha):
            # workaround: torch's fused SGD cannot be told in a replay that this step is the first, and has no dampening
            # without momentum.
            return self._in_steps(parameters, gradients, velocity)
        torch._fused_sgd_(
            parameters, gradients, velocity if alpha else [], weight_decay=self.norm, momentum=alpha, lr=self.rate,
            dampening=1 - beta, nesterov=nesterov and alpha > 0, maximize=False,
            is_first_step=beta != 1 and self.steps == 1,
        )  # fmt: skip

    def _in_steps(self, parameters, gradients, velocity):
        alpha = self.attributes["alpha"]
        if self.norm:
            gradients = torch._foreach_add(gradients, parameters, alpha=self.norm)
        torch._foreach_mul_(velocity, alpha)
        torch._foreach_add_(velocity, torch._foreach_mul(gradients, self.number))
        step = velocity
        if self.attributes["mode"] == "nesterov":
            step = torch._foreach_add(gradients, velocity, alpha=alpha)
        torch._foreach_add_(parameters, step, alpha=-self.rate)


class Adam(Optimizer):
    """torch's Adam, with ONNX's correction in the rate."""

    slot_count = 2

    def __init__(self, recipe, parameters, captured):
        super().__init__(recipe, parameters, captured)
        # workaround: torch's Adam always corrects by its own formula; after infinitely many steps it corrects nothing.
        self.forever = torch.full((), math.inf, device=parameters[0].device)

    def coefficient(self, step):
        if step == 0:
            return self.rate
        alpha, beta = self.attributes["alpha"], self.attributes["beta"]
        return self.rate * (1 - beta**step) ** 0.5 / (1 - alpha**step)

    def step(self, parameters, gradients, mean, square):
        torch._fused_adam_(
            parameters, gradients, mean, square, [], [self.forever] * len(parameters), lr=self.number,
            beta1=self.attributes["alpha"], beta2=self.attributes["beta"], weight_decay=self.norm,
            eps=self.attributes["epsilon"], amsgrad=False, maximize=False,
        )  # fmt: skip
        if self.attributes["norm_coefficient_post"]:
            torch._foreach_mul_(parameters, 1 - self.attributes["norm_coefficient_post"])


class Adagrad(Optimizer):
    """torch's Adagrad, which counts from 1 what ONNX counts from 0."""

    def coefficient(self, step):
        return step + 1.0 if self.attributes["decay_factor"] else 1.0

    def step(self, parameters, gradients, square):
        torch._fused_adagrad_(
            parameters, gradients, square, [self.number] * len(parameters), lr=self.rate,
            lr_decay=self.attributes["decay_factor"], weight_decay=self.norm, eps=self.attributes["epsilon"],
            maximize=False,
        )  # fmt: skip


_KINDS = {"Momentum": Momentum, "Adam": Adam, "Adagrad": Adagrad}


def make_optimizer(recipe: Recipe, parameters: Tensors, captured: bool = False) -> Optimizer:
    """captured: whether `apply` is recorded once and replayed."""
    if recipe.op not in _KINDS:
        raise Unsupported(f"no such optimizer: {recipe.op}")
    return _KINDS[recipe.op](recipe, parameters, captured)
