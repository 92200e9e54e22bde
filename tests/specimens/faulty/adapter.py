"""The PyTorch adapter with one fault, its mode: what the gate has to find. Mode "honest" has none.

A fault in what is computed is planted into the Program before torch's adapter lowers it; a fault in how it learns, into
the network that was made.
"""

from __future__ import annotations

from dataclasses import replace
from types import MethodType

import numpy
import torch
import torch.nn.functional as F

from adapters.kit.interface import Unsupported
from adapters.kit.program import Node
from adapters.torch import adapter as real
from adapters.torch import ops


class FaultyAdapter(real.TorchAdapter):
    def load(self, program, device, options):
        if options.mode not in ("honest", *_IN_PROGRAM, *_IN_NETWORK):
            raise Unsupported(f"no fault is called {options.mode!r}")
        program = _IN_PROGRAM.get(options.mode, _unchanged)(program)
        network = super().load(program, device, replace(options, mode="eager"))
        _IN_NETWORK.get(options.mode, _unchanged)(network)
        return network


def _unchanged(it):
    return it


# What is computed ----------------------------------------------------------------------------------------------------


def _is_parameter(program, name):
    return name in program.weights and (program.training is None or name in program.training.parameters)


def _through(program, op, chosen):
    """The Program with the chosen inputs of nodes read through an operator that keeps their shape.

    chosen: function of a node and the position of an input.
    """
    nodes, made, tensors = [], {}, dict(program.tensors)
    for node in program.nodes:
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            if not name or not chosen(node, position):
                continue
            if name not in made:
                made[name] = name + " (faulty)"
                tensors[made[name]] = replace(tensors[name], name=made[name])
                nodes.append(Node(op, made[name], (name,), (made[name],)))
            inputs[position] = made[name]
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(program, nodes=tuple(nodes), tensors=tensors)


def _renamed(program, names):
    """The Program with some operators replaced by faulty ones."""
    return replace(program, nodes=tuple(replace(node, op=names.get(node.op, node.op)) for node in program.nodes))


def transposed_weight(program):
    """The first square weight is used transposed."""
    square = [
        name
        for node in program.nodes
        if node.op in ("Gemm", "MatMul")
        for name in node.inputs[1:2]
        if _is_parameter(program, name) and len(set(program.tensors[name].shape)) == 1
    ]
    return _through(program, "Transpose", lambda node, position: node.inputs[position] == square[0])


def lower_precision(program):
    """Products are computed in bfloat16."""
    return _renamed(program, {op: "Low" + op for op in ("Conv", "Gemm", "MatMul")})


def dropout_on(program):
    """The first Relu drops a tenth of its values, in inference."""
    first = next(node.outputs[0] for node in program.nodes if node.op == "Relu")
    return _through(program, "ActiveDropout", lambda node, position: node.inputs[position] == first)


def initial_statistics(program):
    """Inference normalises by mean 0 and variance 1, not by what training left."""
    weights = dict(program.weights)
    for node in program.nodes:
        if node.op == "BatchNormalization":
            mean, variance = node.inputs[3:5]
            weights[mean], weights[variance] = numpy.zeros_like(weights[mean]), numpy.ones_like(weights[variance])
    return replace(program, weights=weights)


def _first_bias(program):
    return next(
        name for node in program.nodes if node.op == "Gemm" for name in node.inputs[2:3] if _is_parameter(program, name)
    )


def missing_bias_gradient(program):
    """The first bias has no gradient."""
    bias = _first_bias(program)
    return _through(program, "Detached", lambda node, position: node.inputs[position] == bias)


def scaled_bias_gradient(program):
    """The first bias has an eighth of its gradient, as if it were averaged over the batch twice."""
    bias = _first_bias(program)
    return _through(program, "EighthOfGradient", lambda node, position: node.inputs[position] == bias)


def _is_frozen(program, node, position):
    frozen = {"MatMul": (0, 1), "LayerNormalization": (1, 2)}
    return position in frozen.get(node.op, ()) and _is_parameter(program, node.inputs[position])


def frozen_weights(program):
    """Weights of MatMul and LayerNormalization are constants, as onnx2torch has them."""
    return _through(program, "Detached", lambda node, position: _is_frozen(program, node, position))


def running_statistics(program):
    """Training normalises by the running statistics."""
    return _renamed(program, {"BatchNormalization": "NormalizationByRunning"})


def stale_statistics(program):
    """Training leaves the running statistics as they are."""
    return _renamed(program, {"BatchNormalization": "NormalizationThatForgets"})


def unbiased_variance(program):
    """The running variance is of the sample, not of the population."""
    return _renamed(program, {"BatchNormalization": "NormalizationOfSamples"})


def summed_loss(program):
    """The loss is a sum over the batch."""
    nodes = [
        replace(node, attributes={**node.attributes, "reduction": "sum"}) if "CrossEntropy" in node.op else node
        for node in program.nodes
    ]
    return replace(program, nodes=tuple(nodes))


# The operators that these need


def _low(function):
    def low(a, b, *rest, **attributes):
        rest = [x if x is None else x.to(torch.bfloat16) for x in rest]
        return function(a.to(torch.bfloat16), b.to(torch.bfloat16), *rest, **attributes).to(torch.float32)

    return low


def LowConv(
    x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
):  # fmt: skip
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    return _low(ops.Conv)(x, w, b, **attributes)


def LowGemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    return _low(ops.Gemm)(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


def LowMatMul(a, b):
    return _low(ops.MatMul)(a, b)


def ActiveDropout(x):
    return F.dropout(x, 0.1, True)


def Detached(x):
    return torch.detach(x)


def EighthOfGradient(x):
    return torch.detach(x) * 0.875 + x * 0.125


def NormalizationByRunning(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    _, *updates = ops.BatchNormalization(
        x, scale, b, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training_mode
    )
    return (ops.BatchNormalization(x, scale, b, mean, var, epsilon=epsilon), *updates)


def NormalizationThatForgets(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    y, *_ = ops.BatchNormalization(
        x, scale, b, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training_mode
    )
    return y, mean * 1.0, var * 1.0


def NormalizationOfSamples(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    y, mean, updated = ops.BatchNormalization(
        x, scale, b, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training_mode
    )
    count = x.numel() // x.shape[1]
    return y, mean, var * momentum + (updated - var * momentum) * (count / (count - 1))


for _operator in (
    LowConv, LowGemm, LowMatMul, ActiveDropout, Detached, EighthOfGradient, NormalizationByRunning,
    NormalizationThatForgets, NormalizationOfSamples,
):  # fmt: skip
    real.OPERATORS[_operator.__name__] = _operator


# How it learns -------------------------------------------------------------------------------------------------------


def forget_frozen(network):
    """What is frozen is no parameter: it has no gradient, not even one of zero."""
    whole = network.gradients
    names = {
        name.replace(" (faulty)", "")
        for node in network.program.nodes
        if node.op in ("MatMul", "LayerNormalization")
        for name in node.inputs
    }
    network.gradients = lambda staged: {name: g for name, g in whole(staged).items() if name not in names}


def _around(optimizer, method, wrapped):
    """Replace a method of the optimizer by a function of it, the method as it was, and its arguments."""
    original = getattr(optimizer, method)
    setattr(optimizer, method, MethodType(lambda self, *arguments: wrapped(self, original, *arguments), optimizer))


def momentum_twice(network):
    """What is kept from step to step decays twice (by another tenth in Adagrad, which has no decay)."""

    def update(optimizer, original, gradients):
        torch._foreach_mul_(optimizer.slots[0], optimizer.attributes.get("alpha", 0.9))
        original(gradients)

    _around(network._optimizer, "update", update)


def rate_after_step_1(network):
    """The learning rate is a hundredth more from the second step on."""
    whole = network._optimizer.rate

    def begin(optimizer, original):
        optimizer.rate = whole if optimizer.steps == optimizer.first_step else 1.01 * whole
        original()

    _around(network._optimizer, "begin", begin)


def no_regularisation(network):
    """norm_coefficient is ignored."""
    network._optimizer.norm = 0.0


def _last_weight_kept(network, after_steps):
    def apply(optimizer, original, gradients):
        kept = optimizer.parameters[-2].clone()
        original(gradients)
        if optimizer.steps - optimizer.first_step > after_steps:
            optimizer.parameters[-2].copy_(kept)

    _around(network._optimizer, "apply", apply)


def unmoved_weight(network):
    """One weight is not updated, though it has its gradient."""
    _last_weight_kept(network, 0)


def stale_weight(network):
    """One weight is not updated after the first step."""
    _last_weight_kept(network, 1)


def old_gradients(network):
    """Gradients are those at the weights of the step before."""
    step, last = network._step, []

    def late(*staged):
        now = [p.detach().clone() for p in network._parameters]
        at = last[0] if last and network._optimizer.steps > network._optimizer.first_step + 1 else now
        with torch.no_grad():
            torch._foreach_copy_(network._parameters, at)
        apply = network._optimizer.apply

        def back_then_on(gradients):
            torch._foreach_copy_(network._parameters, now)
            apply(gradients)

        network._optimizer.apply = back_then_on
        loss = step(*staged)
        network._optimizer.apply = apply
        last[:] = [now]
        return loss

    network._step = late


_IN_PROGRAM = {
    "transposed-weight": transposed_weight,
    "lower-precision": lower_precision,
    "dropout-on": dropout_on,
    "initial-statistics": initial_statistics,
    "missing-bias-gradient": missing_bias_gradient,
    "scaled-bias-gradient": scaled_bias_gradient,
    "frozen-weights": frozen_weights,
    "running-statistics": running_statistics,
    "stale-statistics": stale_statistics,
    "unbiased-variance": unbiased_variance,
    "summed-loss": summed_loss,
}

_IN_NETWORK = {
    "frozen-weights": forget_frozen,
    "unmoved-weight": unmoved_weight,
    "momentum-twice": momentum_twice,
    "rate-after-step-1": rate_after_step_1,
    "no-regularisation": no_regularisation,
    "stale-weight": stale_weight,
    "old-gradients": old_gradients,
}

ADAPTER = FaultyAdapter
