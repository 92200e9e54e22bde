"""From a training Program to two graphs: its gradients, and one whole training step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Set, Tuple

import numpy
import onnx
import onnxruntime
from onnx import ModelProto, ValueInfoProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as library

from ..kit.interface import Unsupported
from ..kit.program import Program, Tensor
from .forward import forward_model
from .hastening import hasten
from .operators import NOT_REGISTERED
from .optimizers import append_optimizer
from .writer import Writer, assemble

#: How the gradient builder names the gradient of a tensor.
GRADIENT = "{}_grad"

_NO_GRADIENT = re.compile(NOT_REGISTERED + r":\s*(\w+)(?: for node ([^\n]*))?")


@dataclass(frozen=True)
class TrainingGraphs:
    """gradients: inputs and parameters -> the gradients, in the order of the parameters.

    step: inputs, parameters and `state` -> the loss, then what replaces each tensor of `replaced`.
    state: the optimizer's own tensors. replaced: (graph input, graph output) of all that a step changes.
    """

    gradients: ModelProto
    step: ModelProto
    state: Tuple[Tensor, ...]
    replaced: Tuple[Tuple[str, str], ...]


def training_graphs(program: Program, device: str, threads: int) -> TrainingGraphs:
    """Differentiate a Program and put its optimizer behind it.

    Raises `Unsupported` for an operator without a gradient and for a parameter that the gradient does not reach.
    """
    training = program.training
    model = _gradient_model(program)
    if device == "cpu":
        hasten(model, program)
    # workaround: some gradient operators cannot infer the types of what they make, so those that are known are told
    constants, known = model.graph.initializer, model.graph.value_info
    names = [GRADIENT.format(name) for name in training.parameters]
    gradients = Writer("gradients", model.graph.node)
    results = [_value(name, program.tensors[of]) for name, of in zip(names, training.parameters)]
    step = Writer("step", model.graph.node)
    state, updated = append_optimizer(step, program, dict(zip(training.parameters, names)), threads)
    replaced = [*updated, *training.updates.items()]
    described = {**program.tensors, **{tensor.name: tensor for tensor in state}}
    outputs = [_value(training.loss, program.tensors[training.loss])]
    outputs += [_value(after, described[before]) for before, after in replaced]
    inputs = [*model.graph.input, *(_value(tensor.name, tensor) for tensor in state)]
    return TrainingGraphs(
        gradients=assemble(program.name, gradients, model.graph.input, results, constants, known),
        step=assemble(program.name, step, inputs, outputs, constants, [*known, *results]),
        state=state,
        replaced=tuple(replaced),
    )


def _gradient_model(program: Program) -> ModelProto:
    """The forward graph with its gradient graph. Splits whose gradient would be wrong are written as Slices."""
    forward = forward_model(program)
    model = _differentiate(forward, program)
    wrong = _wrong_splits(forward, model)
    if wrong:
        model = _differentiate(forward_model(program, wrong), program)
    return model


def _differentiate(forward: ModelProto, program: Program) -> ModelProto:
    loss, parameters = program.training.loss, set(program.training.parameters)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        builder = library.GradientGraphBuilder(forward.SerializeToString(), {loss}, parameters, loss, options)
        builder.build()
    # workaround: ONNX Runtime's own exceptions share no base class, and only their text names the operator
    except Exception as error:
        raise _refusal(error) from None
    model = onnx.load_from_string(builder.get_model())
    made = _made(model)
    lacking = [name for name in program.training.parameters if GRADIENT.format(name) not in made]
    if lacking:
        raise Unsupported(f"ONNX Runtime's gradient does not reach the parameter {', '.join(lacking)}")
    return model


def _wrong_splits(forward: ModelProto, model: ModelProto) -> Set[Tuple[str, ...]]:
    """The outputs of each Split of which some, but not all have a gradient: the builder forgets the others."""
    made = _made(model)
    wrong = set()
    for node in forward.graph.node:
        if node.op_type == "Split":
            have = [bool(name) and GRADIENT.format(name) in made for name in node.output]
            if any(have) and not all(have):
                wrong.add(tuple(node.output))
    return wrong


def _made(model: ModelProto) -> Set[str]:
    return {name for node in model.graph.node for name in node.output}


def _value(name: str, tensor: Tensor) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(numpy.dtype(tensor.dtype))
    return helper.make_tensor_value_info(name, kind, tensor.shape)


def _refusal(error: Exception) -> Unsupported:
    found = _NO_GRADIENT.search(str(error))
    if found is None:
        reason = re.split(r"\[ONNXRuntimeError\] : |GetGradientDefsImpl\(\) const ", str(error))[-1].strip()
        return Unsupported(f"ONNX Runtime cannot differentiate this graph: {reason}")
    return Unsupported("ONNX Runtime has no gradient for it", found.group(1), (found.group(2) or "").strip() or None)
