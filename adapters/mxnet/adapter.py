"""Apache MXNet's adapter: one symbol per Program, run by a hybridized cached operator or one operator at a time."""

from __future__ import annotations

import collections
import contextlib
import json
import os

import mxnet
import numpy
from mxnet import autograd

from ..kit.interface import Adapter, Network, Unsupported
from ..kit.lowering import lower, operators_of
from . import ops, ops_loss, ops_nn, ops_recurrent, optimizers, storage, symbols
from .imperative import Imperative
from .symbols import F, Value

MODES = ("hybridized", "imperative")
OPERATORS = {}
for _module in (ops, ops_nn, ops_loss, ops_recurrent):
    OPERATORS.update(operators_of(_module))


class Graph:
    """A Program as symbols.

    values: every tensor of the Program. forms: how weights are kept. in_place: initializers that BatchNorm
    updates by itself. updates: {initializer: Value} for the others of `training.updates`.
    """

    def __init__(self, program, cudnn):
        self.program = program
        self.in_place = _running_statistics(program)
        self.forms = storage.plan(program, cudnn and self.in_place)
        uses = _uses(program)
        trained = set(program.training.parameters) | set(program.training.updates) if program.training else set()
        values = {tensor.name: symbols.variable(tensor.name, tensor.shape, tensor.dtype) for tensor in program.inputs}
        for tensor in program.initializers:
            values[tensor.name] = self._weight(tensor, tensor.name in trained)

        def bind(value, tensor):
            if (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
                raise Unsupported(
                    "MXNet makes %s%s of %s, ONNX %s%s"
                    % (value.dtype, list(value.shape), tensor.name, tensor.dtype, list(tensor.shape))
                )
            if uses[tensor.name] != 1:
                value.linear = None
            return value

        self.values = lower(program, OPERATORS, values, bind)
        updates = program.training.updates if program.training else {}
        self.updates = {name: self.values[new] for name, new in updates.items() if name not in self.in_place}

    def _weight(self, tensor, trained):
        array = None if trained else self.program.weights[tensor.name]
        form = self.forms.get(tensor.name)
        if form is None:
            running = tensor.name in self.in_place
            return symbols.variable(tensor.name, tensor.shape, tensor.dtype, array=array, running=running)
        shape = form.to_mxnet(numpy.empty(tensor.shape, tensor.dtype)).shape
        kept = form.to_mxnet(array) if array is not None else None
        stored = symbols.variable(tensor.name, shape, tensor.dtype, array=kept, running=tensor.name in self.in_place)
        restored = form.restore(stored)
        return Value(restored.symbol, tensor.shape, tensor.dtype, array=array, stored=stored, running=stored.running)

    def stored(self, name):
        """An initializer's array as the network keeps it."""
        array = self.program.weights[name]
        return self.forms[name].to_mxnet(array) if name in self.forms else array

    def to_onnx(self, name, array):
        return self.forms[name].to_onnx(array) if name in self.forms else array


def _group(values):
    """One symbol with these Values as its outputs. An output that is an input is copied: CachedOp wants an operator."""
    return mxnet.sym.Group([F._copy(v).symbol if v.symbol.get_children() is None else v.symbol for v in values])


def _uses(program):
    """How often each tensor is read, by nodes or as an output."""
    uses = collections.Counter(tensor.name for tensor in program.outputs)
    for node in program.nodes:
        uses.update(node.inputs)
        uses.update(node.operands.values())
    if program.training:
        uses.update([program.training.loss])
        uses.update(program.training.updates.values())
    return uses


def _running_statistics(program):
    """The running statistics that BatchNorm itself can update, as a set of initializers.

    BatchNorm does so in its backward pass, so its own parameters must be trained, and nothing else may read the
    statistics or what they become.
    """
    if program.training is None:
        return set()
    uses, found = _uses(program), set()
    for node in program.nodes:
        if node.op != "BatchNormalization" or not node.attributes.get("training_mode", 0) or len(node.outputs) < 3:
            continue
        pairs = list(zip(node.inputs[3:], node.outputs[1:]))
        if (
            set(node.inputs[1:3]) <= set(program.training.parameters)
            and all(program.training.updates.get(old) == new for old, new in pairs)
            and all(uses[name] == 1 for pair in pairs for name in pair)
            and all(program.tensors[name].dtype == "float32" for name in node.inputs)
        ):
            found.update(node.inputs[3:])
    return found


class MXNetNetwork(Network):
    """All weights are arrays on the device, changed only in place; staged inputs are complete argument lists."""

    def __init__(self, program, context, options):
        self._program = program
        self._context = context
        self._mode = options.mode
        cudnn = context.device_type == "gpu" and options.cudnn
        graph = self._graph = Graph(program, cudnn)
        training = program.training
        self._outputs = _group([graph.values[tensor.name] for tensor in program.outputs])
        symbols_used = [self._outputs]
        if training:
            self._training = _group([graph.values[training.loss]] + list(graph.updates.values()))
            symbols_used.append(self._training)
        names = dict.fromkeys(name for symbol in symbols_used for name in symbol.list_inputs())
        arrays = symbols.take_constants(names)
        inputs = {tensor.name for tensor in program.inputs}
        weights = {tensor.name for tensor in program.initializers}
        kept = [name for name in names if name in weights] + list(training.parameters if training else ())
        arrays.update((name, graph.stored(name)) for name in dict.fromkeys(kept + list(graph.updates)))
        self._arrays = {name: self._array(array) for name, array in arrays.items() if name not in inputs}
        self._infer = self._executable(self._outputs)
        if training:
            self._prepare_training(training)
        self.synchronize()

    def _prepare_training(self, training):
        parameters = [self._arrays[name] for name in training.parameters]
        for array in parameters:
            array.attach_grad()
        self._step = self._executable(self._training)
        self._optimizer = optimizers.make(training.optimizer, parameters, [array.grad for array in parameters])
        self._updated = [self._arrays[name] for name in self._graph.updates]
        self._in_place = [self._arrays[name] for name in self._graph.in_place]

    def _array(self, array):
        return mxnet.nd.array(array, self._context, dtype=array.dtype)

    def _executable(self, symbol):
        if self._mode == "imperative":
            return Imperative(symbol)
        names = symbol.list_inputs()
        weights = [i for i, name in enumerate(names) if name in self._arrays]
        data = [i for i, name in enumerate(names) if name not in self._arrays]
        flags = [("data_indices", data), ("param_indices", weights), ("static_alloc", True), ("static_shape", True)]
        return mxnet.nd.CachedOp(symbol, flags)

    def stage(self, arrays):
        staged = {tensor.name: self._array(arrays[tensor.name]) for tensor in self._program.inputs}
        staged.update(self._arrays)
        symbols_used = [self._outputs] + ([self._training] if self._program.training else [])
        return [[staged[name] for name in symbol.list_inputs()] for symbol in symbols_used]

    def infer(self, staged):
        if self._program.training is None:
            return self._infer(*staged[0])
        with autograd.train_mode(), self._restored():
            return self._infer(*staged[0])

    def fetch(self, outputs):
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return {tensor.name: array.asnumpy() for tensor, array in zip(self._program.outputs, outputs)}

    def synchronize(self):
        mxnet.nd.waitall()

    def train_step(self, staged):
        results = self._backward(staged)
        self._optimizer.update()
        for array, new in zip(self._updated, results[1:]):
            new.copyto(array)
        return results[0]

    def _backward(self, staged):
        with autograd.record():
            results = self._step(*staged[1])
        results = results if isinstance(results, list) else [results]
        results[0].backward()
        return results

    @contextlib.contextmanager
    def _restored(self):
        """Running statistics that BatchNorm changes in passing are put back."""
        before = [array.copy() for array in self._in_place]
        yield
        for array, old in zip(self._in_place, before):
            old.copyto(array)

    def loss(self, value):
        return float(value.asnumpy().reshape(()))

    def gradients(self, staged):
        with self._restored():
            self._backward(staged)
        names = self._program.training.parameters
        return {name: self._graph.to_onnx(name, self._arrays[name].grad.asnumpy()) for name in names}

    def parameters(self):
        training = self._program.training
        names = list(training.parameters) + list(training.updates)
        return {name: self._graph.to_onnx(name, self._arrays[name].asnumpy()) for name in names}

    def set_parameters(self, arrays):
        for name, array in arrays.items():
            form = self._graph.forms.get(name)
            self._arrays[name][:] = form.to_mxnet(array) if form else array
        self._optimizer.reset()

    def describe(self):
        facts = {"mode": self._mode, "stored_transposed_or_reordered": sorted(self._graph.forms)}
        facts["running_statistics_updated_by_BatchNorm"] = sorted(self._graph.in_place)
        for name, symbol in (("infer", self._outputs), ("train", getattr(self, "_training", None))):
            if symbol is not None:
                nodes = json.loads(symbol.tojson())["nodes"]
                facts["operators_" + name] = sum(node["op"] != "null" for node in nodes)
        return facts

    def close(self):
        self.synchronize()
        self.__dict__.clear()


class MXNetAdapter(Adapter):
    def version(self):
        return mxnet.__version__

    def devices(self):
        found = [{"device": "cpu", "name": "CPU"}]
        found += [{"device": "cuda", "name": "gpu(%d)" % i} for i in range(mxnet.context.num_gpus())]
        return found

    def operators(self):
        return sorted(OPERATORS)

    def load(self, program, device, options):
        self._check(program, device, options)
        F.without_cudnn = device == "cuda" and not options.cudnn
        context = mxnet.gpu(0) if device == "cuda" else mxnet.cpu()
        return MXNetNetwork(program, context, options)

    def _check(self, program, device, options):
        if device not in [entry["device"] for entry in self.devices()]:
            raise Unsupported("MXNet has no device %r here" % device)
        if options.mode not in MODES:
            raise Unsupported("no mode %r; MXNet's are %s" % (options.mode, ", ".join(MODES)))
        if options.precision != "fp32":
            raise Unsupported("precision %r; this adapter computes in the model's own types (fp32)" % options.precision)
        started = os.environ.get("OMP_NUM_THREADS")
        if started != str(options.threads):
            raise Unsupported(
                "MXNet takes its threads from OMP_NUM_THREADS when it starts: that was %s, %d are asked for"
                % (started, options.threads)
            )
        for tensor in program.tensors.values():
            if tensor.dtype not in symbols.TYPES:
                raise Unsupported("MXNet has no element type %s (%s)" % (tensor.dtype, tensor.name))

    def describe(self):
        enabled = [feature.name for feature in mxnet.runtime.Features().values() if feature.enabled]
        variables = ("OMP_NUM_THREADS", "MXNET_CPU_WORKER_NTHREADS", "MXNET_ENGINE_TYPE", "MXNET_SUBGRAPH_BACKEND")
        variables += ("MXNET_CUDNN_AUTOTUNE_DEFAULT", "MXNET_CUDA_ALLOW_TENSOR_CORE", "NVIDIA_TF32_OVERRIDE")
        return {"features": enabled, "environment": {name: os.environ.get(name) for name in variables}}


ADAPTER = MXNetAdapter()
