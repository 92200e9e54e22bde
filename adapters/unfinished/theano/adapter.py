"""Theano's adapter: a Program becomes a graph of symbols, which Theano optimises and compiles when it is loaded."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.lowering import lower, operators_of
from ..kit.program import Program, Tensor
from . import settings

settings.start()

import theano  # noqa: E402

from . import elementwise, indexing, layers, losses, quantised, recurrent, reductions, shapes  # noqa: E402
from .common import TYPES, constant, patterned  # noqa: E402
from .network import GraphNetwork, input_variable, weight  # noqa: E402

OPERATORS: Dict[str, Any] = {}
for _module in (elementwise, shapes, indexing, reductions, layers, recurrent, losses, quantised):
    OPERATORS.update(operators_of(_module))

#: Theano's own name for graph optimisation at its best with C++ throughout.
MODES = ("fast_run",)

#: Initializers of at most so many elements are constants of the graph; others are shared variables, as trained ones.
_CONSTANT = 64


def _bound(value: Any, tensor: Tensor) -> Any:
    """What an operator returned, told what the Program knows of it."""
    if value.dtype != tensor.dtype or value.ndim != len(tensor.shape):
        raise Unsupported(
            "Theano makes %s of rank %d of %s, ONNX %s%s"
            % (value.dtype, value.ndim, tensor.name, tensor.dtype, list(tensor.shape))
        )
    for extent, broadcastable in zip(tensor.shape, value.broadcastable):
        if broadcastable and extent != 1:
            raise Unsupported("Theano makes an extent of 1 of %s, ONNX %s" % (tensor.name, list(tensor.shape)))
    value = patterned(value, tensor.shape)
    value.tag.extents = tensor.shape
    return value


def _weights(program: Program) -> Dict[str, Any]:
    """Initializers by name: what is small and does not change is a constant of the graph, the rest shared variables."""
    changing = {*program.training.parameters, *program.training.updates} if program.training else set()
    found = {}
    for tensor in program.initializers:
        array = program.weights[tensor.name]
        if tensor.name not in changing and array.size <= _CONSTANT:
            found[tensor.name] = constant(numpy.array(array))
            continue
        found[tensor.name] = weight(program, tensor.name)
        if tensor.name not in changing:
            found[tensor.name].tag.array = array
    return found


def lowered(program: Program) -> GraphNetwork:
    """A Program as a network."""
    inputs, weights = [input_variable(tensor) for tensor in program.inputs], _weights(program)
    values = dict(weights, **{tensor.name: variable for tensor, variable in zip(program.inputs, inputs)})
    values = lower(program, OPERATORS, values, _bound)
    outputs = [values[tensor.name] for tensor in program.outputs]
    training = program.training
    if not training:
        return GraphNetwork(program, inputs, outputs, weights)
    news = {name: values[new] for name, new in training.updates.items()}
    return GraphNetwork(program, inputs, outputs, weights, values[training.loss], news)


class TheanoAdapter(Adapter):
    def version(self) -> str:
        return theano.__version__

    def operators(self) -> List[str]:
        return sorted(OPERATORS)

    def load(self, program: Program, device: str, options: Options) -> Network:
        if options.mode not in MODES:
            raise Unsupported("no mode %r; Theano's is %s" % (options.mode, ", ".join(MODES)))
        settings.check(device, options)
        for tensor in program.tensors.values():
            if tensor.dtype not in TYPES:
                raise Unsupported("Theano has no element type %s (%s)" % (tensor.dtype, tensor.name))
        return lowered(program)

    def describe(self) -> Dict[str, Any]:
        return settings.describe()


ADAPTER = TheanoAdapter
