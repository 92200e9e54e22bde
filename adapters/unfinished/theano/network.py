"""A graph of Theano as a Network of the kit: functions that are compiled from it, and shared variables as weights."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy

import theano
import theano.tensor as T

from ..kit.interface import Network
from ..kit.program import Program, Tensor
from . import optimizers, settings


def pattern(tensor: Tensor) -> List[bool]:
    """Along which axes Theano may broadcast a tensor."""
    return [extent == 1 for extent in tensor.shape]


def input_variable(tensor: Tensor) -> Any:
    made = T.TensorType(tensor.dtype, pattern(tensor))(tensor.name)
    made.tag.extents = tensor.shape
    return made


def weight(program: Program, name: str) -> Any:
    """An initializer as a shared variable."""
    tensor = program.tensors[name]
    made = theano.shared(numpy.array(program.weights[name]), name, broadcastable=pattern(tensor))
    made.tag.extents = tensor.shape
    return made


class GraphNetwork(Network):
    """Functions of one graph. A function that trains updates the shared variables in place.

    inputs, outputs: variables in the Program's order. weights: shared variables by the Program's names, at least those
    that training changes. loss: the scalar that training minimises; news: what replaces initializers after a step.
    """

    def __init__(
        self,
        program: Program,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        weights: Dict[str, Any],
        loss: Any = None,
        news: Any = None,
    ):
        self._program, self._training = program, program.training
        self._inputs, self._outputs, self._weights = list(inputs), list(outputs), weights
        self._loss, self._news = loss, dict(news or {})
        self._functions: Dict[str, Any] = {}
        before = settings.compiled_modules()
        if self._training:
            self._rule = optimizers.Rule(self._training.optimizer)
        self._main = self._function("step" if self._training else "infer")
        self._compiled = settings.compiled_modules() - before

    def _function(self, name: str) -> Any:
        """A function of the graph, compiled when it is first wanted: "infer", "step" or "gradients"."""
        if name not in self._functions:
            function = getattr(self, "_compile_" + name)()
            function.trust_input = True  # what is staged has the right type already
            self._functions[name] = function
        return self._functions[name]

    def _compile_infer(self) -> Any:
        return theano.function(self._inputs, self._outputs, on_unused_input="ignore")

    def _compile_gradients(self) -> Any:
        return theano.function(self._inputs, self._slopes(), on_unused_input="ignore")

    def _compile_step(self) -> Any:
        parameters = [self._weights[name] for name in self._training.parameters]
        updates = self._rule.updates(parameters, self._slopes())
        updates += [(self._weights[name], new) for name, new in self._news.items()]
        return theano.function(self._inputs + self._rule.fed, self._loss, updates=updates, on_unused_input="ignore")

    def _slopes(self) -> List[Any]:
        loss = self._loss if self._loss.ndim == 0 else T.sum(self._loss)
        wanted = [self._weights[name] for name in self._training.parameters]
        return theano.grad(loss, wanted, disconnected_inputs="ignore")

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        return [numpy.array(arrays[tensor.name], tensor.dtype, order="C") for tensor in self._program.inputs]

    def infer(self, staged: Any) -> Any:
        return self._function("infer")(*staged)

    def fetch(self, outputs: Any) -> Dict[str, numpy.ndarray]:
        return {tensor.name: numpy.asarray(one) for tensor, one in zip(self._program.outputs, outputs)}

    def synchronize(self) -> None:
        """Theano's functions return when they are done."""

    def train_step(self, staged: Any) -> Any:
        loss = self._main(*staged, *self._rule.scalars())
        self._rule.step += 1
        return loss

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        return dict(zip(self._training.parameters, map(numpy.asarray, self._function("gradients")(*staged))))

    def parameters(self) -> Dict[str, numpy.ndarray]:
        names = [*self._training.parameters, *self._training.updates]
        return {name: self._weights[name].get_value() for name in names}

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        for name, array in arrays.items():
            shared = self._weights[name]
            shared.set_value(numpy.array(array, shared.dtype), borrow=True)
        self._rule.reset()

    def describe(self) -> Dict[str, Any]:
        """modules_compiled: how many C++ modules this network had to compile; the rest came from the cache."""
        return {
            "graph": "theano.function, " + theano.config.mode,
            "linker": theano.config.linker + ("" if theano.config.allow_gc else ", no gc"),
            "layout": "NCHW",
            "operators": len(self._main.maker.fgraph.apply_nodes),
            "modules_compiled": self._compiled,
            "compile_cache": "cold, at least in part" if self._compiled else "warm",
        }

    def close(self) -> None:
        self.__dict__.clear()
