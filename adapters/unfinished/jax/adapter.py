"""The JAX adapter: what the worker talks to."""

from __future__ import annotations

import numpy

import jax
import jax.numpy as jnp

from ..kit.arrays import element_count
from ..kit.interface import Adapter, Network, Unsupported
from ..kit.lowering import lower, operators_of
from . import (
    attention,
    elementwise,
    image,
    layers,
    losses,
    quantised,
    recurrent,
    reductions,
    search,
    settings,
    shapes,
    signals,
)
from .dtypes import cast, from_carrier, staged_as, type_of
from .optimizers import Optimizer

OPERATORS = {}
for _module in (
    elementwise, layers, losses, shapes, reductions, recurrent, attention, image, quantised, search, signals,
):  # fmt: skip
    OPERATORS.update(operators_of(_module))

MODES = ("jit", "eager")

#: Weights of up to so many elements are constants of the function, which XLA folds; it is faster with larger ones as
#: arguments.
LARGEST_CONSTANT = 4096


def _as_declared(result, tensor):
    """A node's result, which has to be of the shape and type that ONNX says."""
    result = jnp.asarray(result)
    if tuple(result.shape) != tensor.shape or result.dtype != type_of(tensor.dtype):
        raise Unsupported(
            "{} became {} {} here; ONNX says {} {}".format(
                tensor.name, result.dtype, list(result.shape), tensor.dtype, list(tensor.shape)
            )
        )
    return result


class JaxNetwork(Network):
    """What inference and training share. Of the weights that training does not change, the larger are arguments."""

    def __init__(self, program, device, options):
        self.program, self.options = program, options
        self.device = settings.device_of(device)
        self.pending = None
        self.described = False
        training = program.training
        changed = set() if training is None else {*training.parameters, *training.updates}
        self.constants, self.weights = {}, {}
        for tensor in program.initializers:
            if tensor.name not in changed:
                small = element_count(tensor.shape) <= LARGEST_CONSTANT
                kept = self.constants if small else self.weights
                kept[tensor.name] = self._array(program.weights[tensor.name], tensor)

    def _array(self, array, tensor):
        """An array of its own on the device."""
        return jnp.array(from_carrier(numpy.asarray(array), tensor.dtype), copy=True, device=self.device)

    def _lowered(self, values):
        return lower(self.program, OPERATORS, {**self.constants, **values}, _as_declared)

    def _inputs(self, inputs):
        return {tensor.name: cast(value, type_of(tensor.dtype)) for tensor, value in zip(self.program.inputs, inputs)}

    def _function(self, function, *arguments, **options):
        """A function of these arguments and the inputs: compiled at once, or called operator by operator."""
        if self.options.mode == "eager":
            return self._eager(function)
        where = jax.sharding.SingleDeviceSharding(self.device)
        inputs = [
            jax.ShapeDtypeStruct(t.shape, staged_as(type_of(t.dtype)), sharding=where) for t in self.program.inputs
        ]
        with settings.lowering(self.device, self.options):
            try:
                return jax.jit(function, **options).lower(*arguments, *inputs).compile()
            except jax.errors.JaxRuntimeError as error:
                raise _refusal(error) from None

    def _eager(self, function):
        def call(*arguments):
            with settings.lowering(self.device, self.options):
                return function(*arguments)

        return call

    def stage(self, arrays):
        return [self._staged(arrays[tensor.name], tensor) for tensor in self.program.inputs]

    def _staged(self, array, tensor):
        if numpy.shape(array) != tensor.shape:
            raise ValueError("input {!r} has shape {}, not {}".format(tensor.name, numpy.shape(array), tensor.shape))
        array = from_carrier(array, tensor.dtype)
        return jax.device_put(array.astype(staged_as(array.dtype), copy=False), self.device)

    def synchronize(self):
        """XLA runs what it is given in order: what was started last is done last."""
        jax.block_until_ready(self.pending)

    def memory(self):
        return settings.memory(self.device)

    def describe(self):
        """When first asked, after loading, nothing is run: a cold start is to be measured."""
        facts = {
            **settings.facts(),
            "tf32": self.options.precision == "tf32",
            "flush_denormals": settings.flushes_denormals() if self.described else None,
            "graph": "XLA" if self.options.mode == "jit" else "eager",
            "layout": "NHWC",
        }
        self.described = True
        return facts

    def close(self):
        self.constants = self.weights = self.pending = self.run = None


class InferenceNetwork(JaxNetwork):
    def __init__(self, program, device, options):
        super().__init__(program, device, options)
        self.run = self._function(self._infer, self.weights)

    def _infer(self, weights, *inputs):
        values = self._lowered({**weights, **self._inputs(inputs)})
        return [values[tensor.name] for tensor in self.program.outputs]

    def infer(self, staged):
        self.pending = self.run(self.weights, *staged)
        return self.pending

    def fetch(self, outputs):
        return {tensor.name: numpy.asarray(output) for tensor, output in zip(self.program.outputs, outputs)}


class TrainingNetwork(JaxNetwork):
    """One step is one function of the state, whose buffers it takes over, and the inputs."""

    def __init__(self, program, device, options):
        super().__init__(program, device, options)
        self.optimizer = Optimizer(program.training.optimizer)
        self.state = self._first_state(program.weights)
        self.run = self._function(self._step, self.state, self.weights, donate_argnums=0)
        self.slope = None

    def _first_state(self, weights):
        training, tensors = self.program.training, self.program.tensors
        parameters = {name: self._array(weights[name], tensors[name]) for name in training.parameters}
        others = [tensors[name].name for name in parameters if not jnp.issubdtype(parameters[name].dtype, jnp.floating)]
        if others:
            raise Unsupported("trained parameters that are no floats: " + ", ".join(others[:3]))
        with jax.default_device(self.device):
            return {
                "parameters": parameters,
                "statistics": {name: self._array(weights[name], tensors[name]) for name in training.updates},
                "slots": self.optimizer.initial(parameters),
                "step": jax.device_put(numpy.int64(training.optimizer.step), self.device),
            }

    def _loss(self, parameters, statistics, weights, inputs):
        training = self.program.training
        values = self._lowered({**weights, **statistics, **parameters, **self._inputs(inputs)})
        return values[training.loss].reshape(()), {old: values[new] for old, new in training.updates.items()}

    def _step(self, state, weights, *inputs):
        parameters = state["parameters"]
        slope = jax.value_and_grad(self._loss, has_aux=True)
        (loss, statistics), gradients = slope(parameters, state["statistics"], weights, inputs)
        parameters, slots = self.optimizer.update(state["step"], parameters, gradients, state["slots"])
        return {"parameters": parameters, "statistics": statistics, "slots": slots, "step": state["step"] + 1}, loss

    def _gradients(self, state, weights, *inputs):
        slope = jax.grad(self._loss, has_aux=True)
        return slope(state["parameters"], state["statistics"], weights, inputs)[0]

    def infer(self, staged):
        raise Unsupported("this network was loaded to train; load the inference program to infer")

    def train_step(self, staged):
        self.state, loss = self.run(self.state, self.weights, *staged)
        self.pending = loss, self.state
        return loss

    def gradients(self, staged):
        if self.slope is None:
            self.slope = self._function(self._gradients, self.state, self.weights)
        found = self.slope(self.state, self.weights, *staged)
        return {name: numpy.array(gradient) for name, gradient in found.items()}

    def _changing(self):
        return {**self.state["statistics"], **self.state["parameters"]}

    def parameters(self):
        return {name: numpy.array(value) for name, value in self._changing().items()}

    def set_parameters(self, arrays):
        unknown = [name for name in arrays if name not in self._changing()]
        if unknown:
            raise KeyError("not changed by training: " + ", ".join(unknown))
        self.state = self._first_state({**self._changing(), **arrays})
        self.pending = self.state

    def close(self):
        super().close()
        self.state = self.slope = None


def _refusal(error):
    """What XLA has no code for is refused; everything else is raised as it is."""
    text = str(error)
    return Unsupported("XLA: " + text.split("\n", maxsplit=1)[0][:300]) if "UNIMPLEMENTED" in text else error


class JaxAdapter(Adapter):
    def version(self):
        return jax.__version__

    def devices(self):
        found = [{"device": "cpu", "name": "CPU"}]
        if settings.gpu() is not None:
            found.append({"device": "cuda", "name": settings.gpu().device_kind})
        return found

    def operators(self):
        return sorted(OPERATORS)

    def load(self, program, device, options):
        settings.check(device, options, MODES)
        kind = InferenceNetwork if program.training is None else TrainingNetwork
        return kind(program, device, options)

    def describe(self):
        return settings.facts()


ADAPTER = JaxAdapter
