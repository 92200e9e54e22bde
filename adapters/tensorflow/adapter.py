"""TensorFlow's adapter: a Program becomes one tf.function, or runs operator by operator in eager mode."""

from __future__ import annotations

import functools

import numpy
import tensorflow as tf

from ..kit.arrays import carrier
from ..kit.interface import Adapter, Network, Unsupported
from ..kit.lowering import lower, operators_of
from . import (
    attention,
    differentiation,
    elementwise,
    image,
    losses,
    matrices,
    normalisation,
    optimizers,
    quantised,
    recurrent,
    reductions,
    search,
    settings,
    shapes,
    strings,
    transforms,
)
from .calls import Calls
from .common import dtype_of
from .fusion import FUSED, fuse
from .settings import DEVICES
from .target import Target, lowering_for

MODES = ("graph", "compiled", "eager")

#: Weights are constants of the graph up to this size each, and this much together; larger ones are arguments.
# workaround: TensorFlow copies constants several times while it optimises a graph, and a graph ends at 2 GiB.
LARGEST_CONSTANT_BYTES = 1 << 24
MOST_CONSTANT_BYTES = 1 << 28

OPERATORS = {}
for _module in (
    elementwise, shapes, reductions, matrices, transforms, image, normalisation, recurrent, losses, quantised,
    attention, differentiation, search, strings,
):  # fmt: skip
    OPERATORS.update(operators_of(_module))

#: What a Program may hold once patterns in it are replaced.
ALL_OPERATORS = {**OPERATORS, **FUSED}


def _tensor(array, dtype):
    """A TensorFlow tensor on the current device; types that numpy lacks come as their bits."""
    kind = dtype_of(dtype)
    array = numpy.asarray(array)
    if kind == tf.string:
        return tf.constant(array.astype(object), kind)
    if array.dtype not in (kind.as_numpy_dtype, carrier(dtype)):
        raise ValueError("an array of {} where {} is wanted".format(array.dtype.name, dtype))
    return tf.constant(array.view(kind.as_numpy_dtype), kind)


def _as_declared(result, tensor):
    """A node's result; where its shape depends on data, it is checked at each run to be what the Program says."""
    if not tf.is_tensor(result) or result.shape.is_fully_defined():
        return result
    return tf.ensure_shape(result, tensor.shape)


def _check_types(program, mode):
    for node in program.nodes:
        types = {program.tensors[name].dtype for name in (*node.inputs, *node.outputs) if name}
        if mode == "compiled" and types & {"int4", "uint4"}:
            raise Unsupported("XLA computes wrong numbers from four-bit integers", node.op, node.name)
        if "string" in types and (mode == "compiled" or node.op not in strings.ON_STRINGS):
            raise Unsupported("it cannot work on strings here", node.op, node.name)


class TensorFlowNetwork(Network):
    """Weights that training changes are variables; the others constants, which Grappler and XLA fold and fuse."""

    def __init__(self, program, device, options):
        mode = options.mode
        bfloat16 = options.precision == "bf16" and (device == "cuda" or settings.has_bfloat16())
        self.plan = fuse(program, {"float32", "bfloat16"} if bfloat16 else {"float32"})
        self.program = program = self.plan.program
        self.device = DEVICES[device]
        self.on_cpu = device == "cpu"
        self.mode = mode
        self.target = Target(device, mode == "compiled", program.training is not None, options.precision == "bf16")
        self.arrays = self._kept_as(program.weights)
        self.calls = None
        self.described = False
        training = program.training
        changed = [] if training is None else list(dict.fromkeys([*training.parameters, *training.updates]))
        with tf.device(self.device):
            self.variables = {
                name: tf.Variable(
                    _tensor(self.arrays[name], program.tensors[name].dtype), trainable=False, name="weight"
                )
                for name in changed
            }
            constants = self._constants() if mode != "eager" else set()
            self.tensors = {
                name: self._constant(name)
                for name in self.arrays
                if name not in self.variables and name not in constants
            }
            if training is not None:
                self.parameters_trained = {name: self.variables[name] for name in training.parameters}
                self.optimizer = optimizers.make(training.optimizer, self.parameters_trained, self.target)
                self.step = self._function(self._train)
            else:
                self.forward = self._function(self._infer)

    # What is traced

    def _constants(self):
        """Names of the weights that the graph holds itself: the smaller ones."""
        chosen, total = set(), 0
        for name, array in sorted(self.arrays.items(), key=lambda item: item[1].nbytes):
            total += array.nbytes
            if array.nbytes <= LARGEST_CONSTANT_BYTES and total <= MOST_CONSTANT_BYTES:
                chosen.add(name)
        return chosen

    def _constant(self, name):
        return _tensor(self.arrays[name], self.program.tensors[name].dtype)

    def _values(self, inputs):
        """Every input and initializer by name; variables are read here, once; of tables only rows are, later."""
        values = {tensor.name: value for tensor, value in zip(self.program.inputs, inputs)}
        for name in self.arrays:
            if name in self.variables:
                variable = self.variables[name]
                values[name] = variable if name in self.plan.tables else variable.read_value()
            else:
                values[name] = self.tensors[name] if name in self.tensors else self._constant(name)
        return values

    def _lowered(self, values):
        with lowering_for(self.target):
            if self.calls is not None:
                return self.calls.run(values)
            values = lower(self.program, ALL_OPERATORS, values, _as_declared)
        if self.mode == "eager":
            self.calls = Calls(self.program, ALL_OPERATORS, self._kept())
        return values

    def _kept(self):
        """Tensors that are read after the last node: outputs, the loss, new running statistics."""
        training = self.program.training
        kept = {tensor.name for tensor in self.program.outputs}
        return kept if training is None else kept | {training.loss, *training.updates.values()}

    def _infer(self, *inputs):
        values = self._lowered(self._values(inputs))
        return [values[tensor.name] for tensor in self.program.outputs]

    def _differentiated(self, inputs):
        """All values, and the gradient of every parameter: of a table's, the rows that were looked up."""
        training = self.program.training
        values = self._values(inputs)
        watched = {name: values[name] for name in training.parameters}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            self._lowered(values)
            loss = values[training.loss]
        gradients = tape.gradient(loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return values, gradients

    def _gradients(self, *inputs):
        return {name: tf.convert_to_tensor(gradient) for name, gradient in self._differentiated(inputs)[1].items()}

    def _train(self, *inputs):
        values, gradients = self._differentiated(inputs)
        self.optimizer.apply(self.parameters_trained, gradients)
        for name, replacement in self.program.training.updates.items():
            self.variables[name].assign(values[replacement])
        return values[self.program.training.loss]

    def _function(self, function):
        """What is called with the staged inputs: Python in eager mode, else a traced function."""
        if self.mode == "eager":
            return function
        signature = [tf.TensorSpec(t.shape, dtype_of(t.dtype)) for t in self.program.inputs]
        traced = tf.function(function, signature, autograph=False, jit_compile=self.mode == "compiled" or None)
        # A concrete function skips the search for a matching trace at every call.
        return traced.get_concrete_function()

    # The interface

    def stage(self, arrays):
        for tensor in self.program.inputs:
            # workaround: TensorFlow does not check the shapes of what a concrete function is called with.
            if numpy.shape(arrays[tensor.name]) != tensor.shape:
                raise ValueError(
                    "input {!r} has shape {}, not {}".format(
                        tensor.name, numpy.shape(arrays[tensor.name]), tensor.shape
                    )
                )
        arrays = {**arrays, **{name: self._counted(arrays[name], n) for name, n in self.plan.counted.items()}}
        with tf.device(self.device):
            return [_tensor(arrays[tensor.name], tensor.dtype) for tensor in self.program.inputs]

    @staticmethod
    def _counted(indices, extent):
        """Indices from the start; ONNX counts negative ones from the end."""
        return indices if indices.min(initial=0) >= 0 else numpy.where(indices < 0, indices + extent, indices)

    @functools.cached_property
    def forward(self):
        """Made at load for a Program that infers; on first use for one that trains."""
        with tf.device(self.device):
            return self._function(self._infer)

    def infer(self, staged):
        return self._call(self.forward, staged)

    def _call(self, function, staged):
        try:
            if self.mode != "eager":
                return function(*staged)
            with tf.device(self.device):
                return function(*staged)
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnimplementedError) as error:
            if "is not compatible with expected shape" in error.message:
                raise Unsupported("other extents than the Program's: " + error.message.strip()[:300]) from None
            if isinstance(error, tf.errors.InvalidArgumentError) and "unsupported operations" not in error.message:
                raise
            raise Unsupported("no kernel: " + error.message.strip().split("\n")[0][:300]) from None

    def fetch(self, outputs):
        fetched = {}
        for tensor, output in zip(self.program.outputs, outputs):
            if output.dtype == tf.string:
                texts = [text.decode() for text in tf.reshape(output, [-1]).numpy()]
                fetched[tensor.name] = numpy.array(texts, object).reshape(output.shape)
                continue
            array = output.numpy()
            kind = carrier(tensor.dtype)
            fetched[tensor.name] = array if array.dtype == kind else array.view(kind)
        return fetched

    def synchronize(self):
        """A call on the CPU returns when all its outputs are there; one on a GPU when it is queued."""
        if not self.on_cpu:
            tf.test.experimental.sync_devices()

    def train_step(self, staged):
        if self.program.training is None:
            raise Unsupported("the model was loaded without a training recipe")
        return self._call(self.step, staged)

    @functools.cached_property
    def gradient_function(self):
        with tf.device(self.device):
            return self._function(self._gradients)

    def gradients(self, staged):
        if self.program.training is None:
            raise Unsupported("the model was loaded without a training recipe")
        found = self._call(self.gradient_function, staged)
        return self._given({name: gradient.numpy() for name, gradient in found.items()})

    def parameters(self):
        return self._given({name: variable.numpy() for name, variable in self.variables.items()})

    def _kept_as(self, arrays):
        """Weights in the order that they are kept in here, from the Program's."""
        flat = self.plan.flat
        return {name: flat[name].kept(array) if name in flat else array for name, array in arrays.items()}

    def _given(self, arrays):
        """The inverse of `_kept_as`."""
        flat = self.plan.flat
        return {name: flat[name].given(array) if name in flat else array for name, array in arrays.items()}

    def set_parameters(self, arrays):
        if self.program.training is None:
            raise Unsupported("the model was loaded without a training recipe")
        unknown = [name for name in arrays if name not in self.variables]
        if unknown:
            raise KeyError("not changed by training: " + ", ".join(unknown))
        with tf.device(self.device):
            for name, array in self._kept_as(arrays).items():
                self.variables[name].assign(_tensor(array, self.program.tensors[name].dtype))
            self.optimizer.reset()

    def memory(self):
        return settings.memory(self.device)

    def reset_peak(self):
        settings.reset_peak(self.device)

    def describe(self):
        """When first asked, after loading, nothing is run: a cold start is to be measured."""
        function = self.forward if self.program.training is None else self.step
        facts = {
            **settings.facts(),
            "flush_denormals": settings.flushes_denormals(self.mode) if self.described else None,
            "graph": {"graph": "tf.function", "compiled": "XLA", "eager": "eager"}[self.mode],
            "layout": "NHWC",
            "operators": len(self.program.nodes) if self.mode == "eager" else settings.operators(function),
            "constant_weights": len(self.arrays) - len(self.variables) - len(self.tensors),
            "argument_weights": len(self.tensors),
            "variable_weights": len(self.variables),
        }
        self.described = True
        return facts

    def close(self):
        self.variables, self.tensors, self.arrays = {}, {}, {}
        self.__dict__.pop("forward", None)
        self.__dict__.pop("gradient_function", None)
        self.step = None


class TensorFlowAdapter(Adapter):
    def version(self):
        return tf.__version__

    def devices(self):
        found = [{"device": "cpu", "name": "CPU"}]
        for gpu in tf.config.list_physical_devices("GPU")[:1]:
            details = tf.config.experimental.get_device_details(gpu)
            found.append({"device": "cuda", "name": details.get("device_name", gpu.name)})
        return found

    def operators(self):
        return sorted(OPERATORS)

    def load(self, program, device, options):
        settings.check(device, options, MODES)
        _check_types(program, options.mode)
        settings.configure(device, options)
        return TensorFlowNetwork(program, device, options)

    def describe(self):
        return settings.facts()


ADAPTER = TensorFlowAdapter
