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
import theano.tensor as T  # noqa: E402

from . import elementwise, indexing, layers, losses, optimizers, recurrent, reductions, shapes  # noqa: E402
from .common import TYPES, constant, patterned  # noqa: E402

OPERATORS: Dict[str, Any] = {}
for _module in (elementwise, shapes, indexing, reductions, layers, recurrent, losses):
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


class TheanoNetwork(Network):
    """Functions of one graph. Weights are shared variables; a function that trains updates them in place."""

    def __init__(self, program: Program):
        self._program = program
        self._training = program.training
        self._shared: Dict[str, Any] = {}
        self._functions: Dict[str, Any] = {}
        before = settings.compiled_modules()
        values = {tensor.name: self._input(tensor) for tensor in program.inputs}
        self._inputs = list(values.values())
        values.update((tensor.name, self._weight(tensor)) for tensor in program.initializers)
        self._values = lower(program, OPERATORS, values, _bound)
        if self._training:
            self._rule = optimizers.Rule(self._training.optimizer)
            self._function("step")
        else:
            self._function("infer")
        self._compiled = settings.compiled_modules() - before

    def _input(self, tensor: Tensor) -> Any:
        made = T.TensorType(tensor.dtype, [extent == 1 for extent in tensor.shape])(tensor.name)
        made.tag.extents = tensor.shape
        return made

    def _weight(self, tensor: Tensor) -> Any:
        array = self._program.weights[tensor.name]
        changes = self._training and (tensor.name in self._training.parameters or tensor.name in self._training.updates)
        if not changes and array.size <= _CONSTANT:
            return constant(numpy.array(array))
        made = theano.shared(numpy.array(array), tensor.name, broadcastable=[extent == 1 for extent in tensor.shape])
        made.tag.extents = tensor.shape
        if not changes:
            made.tag.array = array
        self._shared[tensor.name] = made
        return made

    def _function(self, name: str) -> Any:
        """A function of the graph, compiled when it is first wanted: "infer", "step" or "gradients"."""
        if name not in self._functions:
            function = getattr(self, "_compile_" + name)()
            function.trust_input = True  # what is staged has the right type already
            self._functions[name] = function
        return self._functions[name]

    def _compile(self, inputs: List[Any], outputs: Any, updates: Any = ()) -> Any:
        return theano.function(inputs, outputs, updates=list(updates), on_unused_input="ignore")

    def _compile_infer(self) -> Any:
        return self._compile(self._inputs, [self._values[tensor.name] for tensor in self._program.outputs])

    def _slopes(self) -> List[Any]:
        loss = self._values[self._training.loss]
        loss = loss if loss.ndim == 0 else T.sum(loss)
        wanted = [self._shared[name] for name in self._training.parameters]
        return theano.grad(loss, wanted, disconnected_inputs="ignore")

    def _compile_gradients(self) -> Any:
        return self._compile(self._inputs, self._slopes())

    def _compile_step(self) -> Any:
        training = self._training
        parameters = [self._shared[name] for name in training.parameters]
        updates = self._rule.updates(parameters, self._slopes())
        updates += [(self._shared[name], self._values[new]) for name, new in training.updates.items()]
        return self._compile(self._inputs + self._rule.fed, self._values[training.loss], updates)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        return [
            numpy.array(arrays[tensor.name], tensor.dtype, order="C", ndmin=len(tensor.shape))
            for tensor in self._program.inputs
        ]

    def infer(self, staged: Any) -> Any:
        return self._function("infer")(*staged)

    def fetch(self, outputs: Any) -> Dict[str, numpy.ndarray]:
        return {tensor.name: numpy.asarray(one) for tensor, one in zip(self._program.outputs, outputs)}

    def synchronize(self) -> None:
        """Theano's functions return when they are done."""

    def train_step(self, staged: Any) -> Any:
        loss = self._function("step")(*staged, *self._rule.scalars())
        self._rule.step += 1
        return loss

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        return dict(zip(self._training.parameters, map(numpy.asarray, self._function("gradients")(*staged))))

    def parameters(self) -> Dict[str, numpy.ndarray]:
        names = [*self._training.parameters, *self._training.updates]
        return {name: self._shared[name].get_value() for name in names}

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        for name, array in arrays.items():
            shared = self._shared[name]
            shared.set_value(numpy.array(array, shared.dtype), borrow=True)
        self._rule.reset()

    def describe(self) -> Dict[str, Any]:
        function = self._functions["step" if self._training else "infer"]
        nodes = function.maker.fgraph.apply_nodes
        return {
            "graph": "theano.function, " + type(function.maker.linker).__name__,
            "layout": "NCHW",
            "operators": len(nodes),
            "modules_compiled": self._compiled,
            "compile_cache": "nothing was compiled" if not self._compiled else "cold or in part",
        }

    def close(self) -> None:
        self.__dict__.clear()


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
        return TheanoNetwork(program)

    def describe(self) -> Dict[str, Any]:
        return settings.describe()


ADAPTER = TheanoAdapter
