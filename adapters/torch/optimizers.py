"""ONNX's optimizers (ai.onnx.preview.training, version 1) on whole lists of tensors, state on the device.

What of a formula depends on T, the number of steps made before, is one number, kept on the host; a step that is
captured once and replayed reads it from a tensor on the device instead, which `begin` fills without waiting.
Formulas: ONNX's operator documentation; docs/architecture.md repeats them.
"""

from __future__ import annotations

from typing import List, Sequence

import torch

from ..kit.interface import Unsupported
from ..kit.program import Optimizer as Recipe


class Optimizer:
    """Changes `parameters` in place. slots: the lists of state tensors (V, H, ...), one tensor a parameter."""

    slot_count = 1

    def __init__(self, recipe: Recipe, parameters: List[torch.Tensor], captured: bool):
        self.rate = recipe.learning_rate
        self.attributes = recipe.attributes
        self.norm = recipe.attributes["norm_coefficient"]
        self.first_step = recipe.step
        self.parameters = parameters
        self.slots = [[torch.zeros_like(p) for p in parameters] for _ in range(self.slot_count)]
        self.steps = recipe.step
        self.number = torch.zeros((), device=parameters[0].device) if captured else 0.0
        self._filled = None

    def reset(self) -> None:
        self.steps = self.first_step
        for slot in self.slots:
            torch._foreach_zero_(slot)

    def begin(self) -> None:
        """Start the next step: set the number that depends on T."""
        value = self.coefficient(self.steps)
        self.steps += 1
        if not isinstance(self.number, torch.Tensor):
            self.number = value
        elif value != self._filled:
            self.number.fill_(value)
            self._filled = value

    def apply(self, gradients: Sequence[torch.Tensor]) -> None:
        """Finish it. Call under no_grad; the gradients are left as they are."""
        if self.norm:
            gradients = torch._foreach_add(gradients, self.parameters, alpha=self.norm)
        self.update(gradients)

    def coefficient(self, step: int) -> float:
        raise NotImplementedError

    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        raise NotImplementedError

    def _divide(self, numerators, roots) -> None:
        """parameters -= number * numerators / roots, which it may overwrite."""
        if isinstance(self.number, torch.Tensor):
            torch._foreach_div_(roots, self.number)
            torch._foreach_addcdiv_(self.parameters, numerators, roots, value=-1.0)
        else:
            torch._foreach_addcdiv_(self.parameters, numerators, roots, value=-self.number)


class Momentum(Optimizer):
    def coefficient(self, step):
        return self.attributes["beta"] if step > 0 else 1.0

    def update(self, gradients):
        alpha, (velocity,) = self.attributes["alpha"], self.slots
        torch._foreach_mul_(velocity, alpha)
        if isinstance(self.number, torch.Tensor):
            torch._foreach_add_(velocity, torch._foreach_mul(gradients, self.number))
        else:
            torch._foreach_add_(velocity, gradients, alpha=self.number)
        if self.attributes["mode"] == "nesterov":
            torch._foreach_add_(self.parameters, gradients, alpha=-self.rate)
            torch._foreach_add_(self.parameters, velocity, alpha=-self.rate * alpha)
        else:
            torch._foreach_add_(self.parameters, velocity, alpha=-self.rate)


class Adam(Optimizer):
    slot_count = 2

    def coefficient(self, step):
        if step == 0:
            return self.rate
        alpha, beta = self.attributes["alpha"], self.attributes["beta"]
        return self.rate * (1 - beta**step) ** 0.5 / (1 - alpha**step)

    def update(self, gradients):
        alpha, beta, (mean, square) = self.attributes["alpha"], self.attributes["beta"], self.slots
        torch._foreach_lerp_(mean, gradients, 1 - alpha)
        torch._foreach_mul_(square, beta)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - beta)
        roots = torch._foreach_sqrt(square)
        torch._foreach_add_(roots, self.attributes["epsilon"])
        self._divide(mean, roots)
        if self.attributes["norm_coefficient_post"]:
            torch._foreach_mul_(self.parameters, 1 - self.attributes["norm_coefficient_post"])


class Adagrad(Optimizer):
    def coefficient(self, step):
        return self.rate / (1 + step * self.attributes["decay_factor"])

    def update(self, gradients):
        (square,) = self.slots
        torch._foreach_addcmul_(square, gradients, gradients, value=1.0)
        roots = torch._foreach_sqrt(square)
        torch._foreach_add_(roots, self.attributes["epsilon"])
        self._divide(gradients, roots)


_KINDS = {"Momentum": Momentum, "Adam": Adam, "Adagrad": Adagrad}


def make_optimizer(recipe: Recipe, parameters: List[torch.Tensor], captured: bool = False) -> Optimizer:
    if recipe.op not in _KINDS:
        raise Unsupported(f"no such optimizer: {recipe.op}")
    return _KINDS[recipe.op](recipe, parameters, captured)
