"""Gradients of operators for which Caffe2 has none, made of its own operators and registered as its users would."""

from __future__ import annotations

from typing import Any, List, Tuple

from caffe2.python import core

Made = Tuple[List[Any], List[Any]]


def _zeros(like: str, name: str) -> Any:
    """Zeros in the shape of a blob."""
    return core.CreateOperator("ConstantFill", [like], [name], value=0.0)


# workaround: Caffe2 has no gradient of Where
@core.GradientRegistry.RegisterGradient("Where")
def _where(operator: Any, gradients: List[Any]) -> Made:
    """To each side where the condition chose it, else exactly zero: infinities on the other side do not matter."""
    condition, chosen, other = operator.input
    gradient = gradients[0]
    zeros = operator.output[0] + "_zeros"
    names = [operator.output[0] + side for side in ("_chosen_grad", "_other_grad")]
    made = [
        _zeros(gradient, zeros),
        core.CreateOperator("Where", [condition, gradient, zeros], [names[0]]),
        core.CreateOperator("Where", [condition, zeros, gradient], [names[1]]),
    ]
    return made, [None, *names]


def _flat(operator: Any, gradients: List[Any]) -> Made:
    """Of a step function: zero wherever there is one."""
    name = operator.output[0] + "_flat_grad"
    return [_zeros(gradients[0], name)], [name]


# workaround: Caffe2 has no gradients of Sign, Floor and Ceil
for _name in ("Sign", "Floor", "Ceil"):
    core.GradientRegistry.RegisterGradient(_name)(_flat)
