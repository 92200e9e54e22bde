"""Apache MXNet's adapter: one symbol per Program, run by a hybridized cached operator or one operator at a time."""

from __future__ import annotations

import collections
import dataclasses
import json

import mxnet
import numpy
from mxnet import autograd
from mxnet.ndarray import CachedOp

from ..kit.interface import Adapter, Network, Unsupported
from ..kit.lowering import lower, operators_of
from . import (
    attention,
    ops,
    ops_image,
    ops_loss,
    ops_nn,
    ops_quantized,
    ops_recurrent,
    ops_shape,
    ops_signal,
    optimizers,
    pins,
    storage,
    symbols,
)
from .executor import Bound, empty, is_recurrent
from .imperative import Imperative
from .symbols import F, Value

#: hybridized: a cached operator with static memory. imperative: one operator after the other, from Python.
#: fused: hybridized, after MXNet's MKLDNN backend fused operators; on a CPU, for inference.
MODES = ("hybridized", "imperative", "fused")
#: Operators through which a mask of -inf reaches a Softmax.
MASKING = {"Add", "Cast", "CastLike", "Concat", "Expand", "Gather", "Pad", "Reshape", "Slice", "Split", "Squeeze"}
MASKING |= {"Sub", "Tile", "Transpose", "Unsqueeze", "Where"}
OPERATORS = {}
for _module in (ops, ops_shape, ops_nn, ops_image, ops_loss, ops_quantized, ops_recurrent, ops_signal):
    OPERATORS.update(operators_of(_module))


class Graph:
    """A Program as symbols. values: every tensor of it. updates: {initializer: Value} of `training.updates`, without
    those in `running`, the statistics that BatchNorm shall update by itself. forms, packs: how weights are kept.
    """

    def __init__(self, program, forms, packs, running=frozenset()):
        self._program = program
        self._forms = forms
        self._packs = packs
        self._vectors = {}
        self._running = running
        uses = _uses(program)
        masked = _masked(program) if program.training else ()
        F.training = program.training is not None
        values = {
            tensor.name: symbols.variable(tensor.name, tensor.shape, tensor.dtype, fixed=F.training)
            for tensor in program.inputs
        }
        values.update((tensor.name, self._weight(tensor)) for tensor in program.initializers)

        def bind(value, tensor):
            if callable(value):
                value = value()
            if (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
                raise Unsupported(
                    "MXNet makes %s%s of %s, ONNX %s%s"
                    % (value.dtype, list(value.shape), tensor.name, tensor.dtype, list(tensor.shape))
                )
            if uses[tensor.name] != 1:
                value.linear = value.product = None
                if value.swapped is not None:
                    value.swapped.linear = None
            value.masked = tensor.name in masked
            return value

        empty = [tensor for tensor in program.tensors.values() if 0 in tensor.shape and tensor.name not in values]
        values.update((tensor.name, symbols.constant(numpy.zeros(tensor.shape, tensor.dtype))) for tensor in empty)
        fused = program if program.training else attention.found(program)
        table = OPERATORS if fused is program else attention.with_attention(OPERATORS)
        self.values = lower(_without(fused, empty), table, values, bind)
        updates = program.training.updates if program.training else {}
        self.updates = {name: self.values[new] for name, new in updates.items() if name not in running}

    def _weight(self, tensor):
        training = self._program.training
        trained = training and tensor.name in training.parameters
        changes = trained or (training and tensor.name in training.updates)
        array = None if changes else self._program.weights[tensor.name]
        facts = {"array": array, "running": tensor.name in self._running, "fixed": bool(training and not trained)}
        form = self._forms.get(tensor.name)
        if form is None:
            return symbols.variable(tensor.name, tensor.shape, tensor.dtype, **facts)
        kept = None if array is None else form.to_mxnet(array)
        shape = form.shape(tensor.shape)
        packed = self._vector(tensor.name)
        if packed is None:
            stored = symbols.variable(tensor.name, shape, tensor.dtype, array=kept, fixed=facts["fixed"])
        else:
            stored = self._packs[tensor.name].restore(packed, tensor.name)
        restored = form.restore(stored).symbol
        return Value(restored, tensor.shape, tensor.dtype, stored=stored, packed=packed, **facts)

    def _vector(self, name):
        """The vector in which a weight lies packed, or None."""
        pack = self._packs.get(name)
        if pack is not None and pack not in self._vectors:
            self._vectors[pack] = symbols.variable(pack.name, (pack.size,), "float32")
        return self._vectors.get(pack)


def _without(program, tensors):
    """The Program without the nodes that make nothing but these tensors."""
    names = {tensor.name for tensor in tensors} | {""}
    return dataclasses.replace(program, nodes=[node for node in program.nodes if set(node.outputs) - names])


def _group(values):
    """One symbol with these Values as its outputs."""
    # workaround: CachedOp takes no output that is an input, so that such a one is copied
    return mxnet.sym.Group([F._copy(v).symbol if v.symbol.get_children() is None else v.symbol for v in values])


def _uses(program):
    """How often each tensor is read, by nodes or as an output."""
    uses = collections.Counter(tensor.name for tensor in program.outputs)
    for node in program.nodes:
        uses.update(node.inputs)
        uses.update(node.operands.values())
    return uses


def _masked(program):
    """The tensors that masks of -inf reach before a Softmax would."""
    masked = {
        name for name, array in program.weights.items() if array.dtype.kind == "f" and numpy.isneginf(array).any()
    }
    for node in program.nodes:
        if node.op == "Pad" and node.attributes.get("constant_value") == -numpy.inf:
            masked.update(node.outputs)
        if node.op in MASKING and masked.intersection(node.inputs):
            masked.update(node.outputs)
    return masked


def _running_statistics(program):
    """The running statistics that BatchNorm itself can update, as a set of initializers.

    It does so in its backward pass, so its own parameters must be trained; and no node may read the statistics
    elsewhere, or what they become.
    """
    training, found = program.training, set()
    reads = collections.Counter(name for node in program.nodes for name in node.inputs)
    for node in program.nodes:
        if node.op != "BatchNormalization" or not node.attributes.get("training_mode", 0) or len(node.outputs) < 3:
            continue
        old, new = node.inputs[3:], node.outputs[1:]
        if (
            set(node.inputs[1:3]) <= set(training.parameters)
            and all(training.updates.get(before) == after for before, after in zip(old, new))
            and all(reads[before] == 1 and reads[after] == 0 for before, after in zip(old, new))
            and all(program.tensors[name].dtype == "float32" for name in node.inputs)
        ):
            found.update(old)
    return found


class MXNetNetwork(Network):
    """All weights are arrays on the device, changed only in place; staged inputs are complete argument lists.

    A training Program has two symbols: its outputs, and the step, in which BatchNorm updates its statistics.
    """

    def __init__(self, program, context, options):
        self._program = program
        self._context = context
        self._mode = options.mode
        cudnn = context.device_type == "gpu" and options.cudnn
        running = _running_statistics(program) if program.training else set()
        self._forms = storage.plan(program, running if cudnn else ())
        self._packs = storage.packs(program)
        graph = Graph(program, self._forms, self._packs)
        outputs = self._kept_apart(graph.values) if options.mode == "fused" else graph.values
        self._symbols = {"infer": _group([outputs[tensor.name] for tensor in program.outputs])}
        if program.training:
            step = Graph(program, self._forms, self._packs, running)
            updates = [F.BlockGrad(value) for value in step.updates.values()]
            self._symbols["train"] = _group([step.values[program.training.loss]] + updates)
            self._kept = sorted(running)
        self._arrays = self._make_arrays()
        if options.mode == "fused":
            self._symbols["infer"] = self._fused(self._symbols["infer"])
        self._call = {purpose: self._executable(symbol) for purpose, symbol in self._symbols.items()}
        if program.training:
            self._prepare_training(program.training, list(step.updates))
        self.synchronize()

    def _kept_apart(self, values):
        """The Program's outputs, by name; those that nodes read as well are made anew."""
        uses = _uses(self._program)
        outputs = {tensor.name: values[tensor.name] for tensor in self._program.outputs}
        for name, value in outputs.items():
            if uses[name] > 1 and value.floating:
                # workaround: MKL-DNN's backend fuses what follows into such an output (and drops mere copies)
                outputs[name] = F._npi_multiply_scalar(value, scalar=1.0)
        return outputs

    def _make_arrays(self):
        """Constants and weights on the device, by name."""
        names = {name for symbol in self._symbols.values() for name in symbol.list_inputs()}
        arrays = symbols.take_constants(names)
        training = self._program.training
        if training:
            names.update(training.parameters, training.updates)
        for name, array in self._program.weights.items():
            pack = self._packs.get(name)
            if pack is not None:
                vector = arrays.setdefault(pack.name, numpy.empty(pack.size, numpy.float32))
                pack.put(vector, name, self._to_mxnet(name, array))
            elif name in names:
                arrays[name] = self._to_mxnet(name, array)
        return {name: self._array(array) for name, array in arrays.items()}

    def _fused(self, symbol):
        """The symbol with operators fused by MXNet's MKLDNN backend."""
        arrays = dict(self._arrays, **empty(self._program.inputs, self._context))
        arguments = {name: arrays[name] for name in symbol.list_arguments()}
        statistics = {name: arrays[name] for name in symbol.list_auxiliary_states()}
        return symbol.optimize_for("MKLDNN", arguments, statistics, self._context)

    def _prepare_training(self, training, updated):
        parameters = list({id(array): array for array in map(self._kept_array, training.parameters)}.values())
        for array in parameters:
            array.attach_grad()
        self._optimizer = optimizers.make(training.optimizer, parameters, [array.grad for array in parameters])
        self._updated = [self._arrays[name] for name in updated]

    def _array(self, array):
        return mxnet.nd.array(array, self._context, dtype=array.dtype.name)

    def _to_mxnet(self, name, array):
        return self._forms[name].to_mxnet(array) if name in self._forms else array

    def _kept_array(self, name):
        """The array in which a weight lies, alone or packed."""
        return self._arrays[self._packs[name].name if name in self._packs else name]

    def _read(self, name, gradient=False):
        """A weight or its gradient as ONNX has it."""
        array = self._kept_array(name)
        array = (array.grad if gradient else array).asnumpy()
        if name in self._packs:
            array = self._packs[name].get(array, name)
        return self._forms[name].to_onnx(array) if name in self._forms else array

    def _executable(self, symbol):
        if self._mode == "imperative":
            return Imperative(symbol)
        names = symbol.list_inputs()
        if not self._program.training and is_recurrent(symbol):
            return Bound(symbol, self._context, self._arrays, empty(self._program.inputs, self._context), names)
        weights = [i for i, name in enumerate(names) if name in self._arrays]
        data = [i for i, name in enumerate(names) if name not in self._arrays]
        flags = [("data_indices", data), ("param_indices", weights), ("static_alloc", True), ("static_shape", True)]
        return CachedOp(symbol, flags)

    def stage(self, arrays):
        staged = {tensor.name: self._array(arrays[tensor.name]) for tensor in self._program.inputs}
        staged.update(self._arrays)
        return {purpose: [staged[name] for name in s.list_inputs()] for purpose, s in self._symbols.items()}

    def infer(self, staged):
        return self._call["infer"](*staged["infer"])

    def fetch(self, outputs):
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return {tensor.name: array.asnumpy() for tensor, array in zip(self._program.outputs, outputs)}

    def synchronize(self):
        mxnet.nd.waitall()

    def train_step(self, staged):
        loss, updates = self._backward(staged)
        self._optimizer.update()
        for array, new in zip(self._updated, updates):
            new.copyto(array)
        return loss

    def _backward(self, staged):
        """Gradients into the parameters' arrays; returns the loss and the new values of `self._updated`."""
        with autograd.record():
            results = self._call["train"](*staged["train"])
        loss, updates = (results[0], results[1:]) if isinstance(results, list) else (results, ())
        loss.backward()
        return loss, updates

    def loss(self, value):
        return float(value.asnumpy().reshape(()))

    def gradients(self, staged):
        kept = [(self._arrays[name], self._arrays[name].copy()) for name in self._kept]
        self._backward(staged)
        for array, before in kept:
            before.copyto(array)
        return {name: self._read(name, gradient=True) for name in self._program.training.parameters}

    def parameters(self):
        training = self._program.training
        return {name: self._read(name) for name in (*training.parameters, *training.updates)}

    def set_parameters(self, arrays):
        for name, array in arrays.items():
            array = self._to_mxnet(name, array)
            if name in self._packs:
                self._packs[name].put(self._kept_array(name), name, array)
            else:
                self._arrays[name][:] = array
        self._optimizer.reset()

    def describe(self):
        """operators: of the forward pass; what a step of training makes of it, MXNet does not tell."""
        executed = {CachedOp: "CachedOp", Bound: "Executor", Imperative: "imperative"}
        graph = executed[type(next(iter(self._call.values())))]
        nodes = json.loads(self._symbols["train" if self._program.training else "infer"].tojson())["nodes"]
        on_cpu = self._context.device_type == "cpu"
        return {
            "graph": graph + (", MKLDNN subgraphs" if self._mode == "fused" else ""),
            "layout": "blocked" if on_cpu and mxnet.runtime.Features().is_enabled("MKLDNN") else "NCHW",
            "operators": sum(node["op"] != "null" for node in nodes),
            "weights_in_mxnet_form": len(self._forms),
        }

    def close(self):
        self.synchronize()
        self.__dict__.clear()


def _gpu_works():
    """Whether the first GPU really computes."""
    # workaround: MXNet also counts GPUs that its wheel has no code for
    try:
        return mxnet.context.num_gpus() > 0 and (mxnet.nd.ones((1,), mxnet.gpu(0)) + 1).asscalar() == 2
    except mxnet.base.MXNetError:
        return False


class MXNetAdapter(Adapter):
    def version(self):
        return mxnet.__version__

    def devices(self):
        found = [{"device": "cpu", "name": "CPU"}]
        return found + ([{"device": "cuda", "name": "gpu(0)"}] if _gpu_works() else [])

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
        if options.mode == "fused" and (program.training or device != "cpu"):
            raise Unsupported("mode 'fused' is MXNet's MKLDNN backend: on a CPU, for inference")
        pins.check(device, options)
        for tensor in program.tensors.values():
            if tensor.dtype not in symbols.TYPES:
                raise Unsupported("MXNet has no element type %s (%s)" % (tensor.dtype, tensor.name))

    def describe(self):
        return pins.facts()


ADAPTER = MXNetAdapter
