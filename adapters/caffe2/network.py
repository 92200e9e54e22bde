"""A Program as Caffe2 nets in a workspace of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Set

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from ..kit.arrays import carrier
from ..kit.interface import Network, Options, Unsupported
from ..kit.lowering import lower
from ..kit.program import Node, Program, Tensor
from . import forms, fusion, ideep, settings
from .graph import Graph, Value, masks, needed

#: Caffe2's net type for each of the adapter's modes. On a CPU "simple" uses IDEEP, the others Caffe2's own kernels.
NET_TYPES = {"simple": "simple", "async": "async_scheduling", "plain": "simple"}


class Lowered:
    """A Program's operators, and the Values of its tensors."""

    def __init__(self, program: Program, operators: Dict[str, Any], library: str):
        self.graph = Graph(program.training is not None, library)
        self.program = program
        self.forms = forms.plan(program) if program.training else {}
        changing = _changing(program)
        values: Dict[str, Value] = {}
        for tensor in program.inputs:
            values[tensor.name] = self.graph.leaf("input", tensor.shape, tensor.dtype)
        for tensor in program.initializers:
            array = None if tensor.name in changing else program.weights[tensor.name]
            weight = self.graph.leaf("weight", tensor.shape, tensor.dtype, array)
            weight.masked = self.graph.training and masks(program.weights[tensor.name])
            if tensor.name in self.forms:
                weight.held = Value(self.graph, weight.blob, self.forms[tensor.name].shape, tensor.dtype)
            self.graph.fed[weight.blob] = self.kept(tensor.name, program.weights[tensor.name])
            values[tensor.name] = weight
        for name in _statistics(program):
            self.graph.updated[values[name].blob] = 1.0
        self._reads = Counter(name for node in program.nodes for name in node.inputs)
        self._reads.update(tensor.name for tensor in program.outputs)
        self._producers = {name: node for node in program.nodes for name in node.outputs if name}
        self._labelled = 0
        self.values = lower(program, operators, values, self._bind)

    def _bind(self, result: Value, tensor: Tensor) -> Value:
        """Check a result against the Program, and label the operators that made it with their node."""
        node = self._producers[tensor.name]
        for operator in self.graph.operators[self._labelled :]:
            operator.debug_info = f"{node.name}\n{node.op}"
        self._labelled = len(self.graph.operators)
        if (result.shape, result.dtype) != (tensor.shape, tensor.dtype):
            raise Unsupported(
                f"Caffe2 computes {result.dtype}{list(result.shape)} where ONNX has {tensor.dtype}{list(tensor.shape)}",
                node.op,
                node.name,
            )
        if self._reads[tensor.name] > 1:
            result.product = None
        return result

    def kept(self, name: str, array: numpy.ndarray) -> numpy.ndarray:
        """A parameter's array in the form in which its blob keeps it."""
        return self.forms[name].kept(array) if name in self.forms else array

    def back(self, name: str, array: numpy.ndarray) -> numpy.ndarray:
        """The inverse of `kept`."""
        return self.forms[name].back(array) if name in self.forms else array

    def blob(self, name: str) -> str:
        return self.values[name].blob


def _changing(program: Program) -> List[str]:
    """The initializers that training changes."""
    training = program.training
    return list(training.parameters) + list(training.updates) if training else []


def _statistics(program: Program) -> List[str]:
    """Running statistics that one BatchNormalization alone reads and replaces: Caffe2 updates these in place."""
    if program.training is None:
        return []
    readers: Dict[str, List[Node]] = {}
    for node in program.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)

    def alone(name: str, replacement: str) -> bool:
        nodes = readers.get(name, [])
        only = len(nodes) == 1 and replacement not in readers
        return only and nodes[0].op == "BatchNormalization" and replacement in nodes[0].outputs[1:3]

    return [name for name, replacement in program.training.updates.items() if alone(name, replacement)]


class Caffe2Network(Network):
    """What inference and training share: the workspace, staging, fetching.

    Caffe2's nets read their inputs from fixed blobs: only one staging is in them at a time, and outputs stay until
    the next run. A run returns when it is finished, on a GPU too.
    """

    def __init__(self, program: Program, lowered: Lowered, device: Any, options: Options):
        self._program = program
        self._device = device
        self._options = options
        self._workspace = workspace.C.Workspace()
        self._staged: Any = None
        self._blobs: Dict[str, Any] = {}
        self._lowered = lowered
        self._inputs = {tensor.name: lowered.blob(tensor.name) for tensor in program.inputs}
        self._nets: List[Any] = []
        self._homes: Set[str] = set()

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        staged = {tensor.name: _checked(arrays[tensor.name], tensor) for tensor in self._program.inputs}
        self._use(staged)
        return staged

    def _use(self, staged: Any) -> None:
        if staged is not self._staged:
            for name, blob in self._inputs.items():
                self._feed(blob, staged[name])
            self._staged = staged

    def synchronize(self) -> None:
        """Nothing to wait for: running a Caffe2 net returns when the net is finished."""

    def describe(self) -> Dict[str, Any]:
        return {
            "graph": NET_TYPES[self._options.mode],
            "layout": "blocked" if self._lowered.graph.library == "ideep" else "NCHW",
            "library": self._lowered.graph.library,
            "operators": self._nets[0][1],
            "interop_threads": self._options.threads if self._options.mode == "async" else 1,
        }

    def close(self) -> None:
        self._blobs.clear()
        self._staged = None
        self._workspace = None

    def _net(self, name: str, operators: List[Any], results: Dict[str, str]) -> Any:
        """Create a net. results: {name: blob} to be fetched; it is changed where IDEEP has them elsewhere.

        Raises `Unsupported` where Caffe2 has no such operator for the device.
        """
        graph = self._lowered.graph
        kept = {*graph.fed, *self._inputs.values(), *self._homes}
        if graph.library == "ideep":
            operators = self._on_ideep(operators, results)
            operators = (
                operators if graph.training else fusion.fuse_convolutions(operators, kept | set(results.values()))
            )
        operators = fusion.in_place(operators, kept | set(results.values()))
        for blob in {*_read_first(operators), *results.values()} & set(graph.fed) - set(self._blobs):
            self._feed(blob, graph.fed[blob])
        net = caffe2_pb2.NetDef()
        net.name = name
        net.type = NET_TYPES[self._options.mode]
        net.num_workers = self._options.threads
        net.op.extend(operators)
        if self._device is not None:
            net.device_option.CopyFrom(self._device)
            settings.pin(net, self._lowered.graph.library)
        net.external_input.extend(_read_first(operators))
        self._nets.append((name, len(operators)))
        try:
            return self._workspace._create_net(net.SerializeToString())
        except RuntimeError as error:
            raise Unsupported(f"Caffe2 refuses the net: {str(error).splitlines()[0]}") from None

    def _on_ideep(self, operators: List[Any], results: Dict[str, str]) -> List[Any]:
        graph = self._lowered.graph
        placed = ideep.Placed(operators, graph.shapes, self._fixed(), self._homes, graph.training)
        results.update((name, placed.fetched(blob)) for name, blob in results.items())
        for copy, blob in placed.feeds.items():
            self._feed(copy, graph.fed[blob], ideep.DEVICE)
        return placed.operators

    def _fixed(self) -> Set[str]:
        """The blobs that are fed once."""
        return set(self._lowered.graph.fed) - {self._lowered.blob(name) for name in _changing(self._program)}

    def _feed(self, blob: str, array: numpy.ndarray, device: Any = None) -> None:
        if blob in self._homes:
            device = ideep.DEVICE
        device = None if blob in self._lowered.graph.host else device or self._device
        if blob not in self._blobs:
            self._blobs[blob] = self._workspace.create_blob(blob)
        array = numpy.ascontiguousarray(array).reshape(numpy.shape(array))
        self._blobs[blob]._feed(array, *([] if device is None else [device.SerializeToString()]))

    def _fetch(self, blob: str) -> numpy.ndarray:
        if blob in self._homes:
            copy = core.CreateOperator("CopyIDEEPToCPU", [blob], ["fetched"], device_option=ideep.DEVICE)
            self._workspace._run_operator(copy.SerializeToString())
            blob = "fetched"
        return numpy.asarray(self._workspace.fetch_blob(blob))


def _read_first(operators: List[Any]) -> List[str]:
    """The blobs that operators read before any of them writes them."""
    written: Set[str] = set()
    found: Dict[str, None] = {}
    for operator in operators:
        found.update(dict.fromkeys(name for name in operator.input if name not in written))
        written.update(operator.output)
    return list(found)


def _checked(array: numpy.ndarray, tensor: Tensor) -> numpy.ndarray:
    array = numpy.asarray(array)
    if (array.shape, array.dtype.name) != (tensor.shape, carrier(tensor.dtype).name):
        expected = f"{tensor.dtype}{list(tensor.shape)}"
        raise ValueError(f"input {tensor.name!r}: expected {expected}, got {array.dtype.name}{list(array.shape)}")
    return array


class InferenceNetwork(Caffe2Network):
    def __init__(self, program: Program, lowered: Lowered, device: Any, options: Options):
        super().__init__(program, lowered, device, options)
        self._outputs = {tensor.name: lowered.blob(tensor.name) for tensor in program.outputs}
        operators = needed(lowered.graph.operators, list(self._outputs.values()))
        operators = fusion.fold_normalization(lowered.graph, operators, set(self._outputs.values()))
        for blob in self._inputs.values():
            self._workspace.create_blob(blob)
        self._run = self._net("infer", operators, self._outputs).run
        self._count = 0

    def infer(self, staged: Any) -> int:
        if staged is not self._staged:
            self._use(staged)
        self._run()
        self._count += 1
        return self._count

    def fetch(self, outputs: int) -> Dict[str, numpy.ndarray]:
        if outputs != self._count:
            raise RuntimeError("Caffe2 keeps a net's outputs until its next run: these are gone")
        return {name: self._fetch(blob) for name, blob in self._outputs.items()}


class TrainingNetwork(Caffe2Network):
    def __init__(self, program: Program, lowered: Lowered, device: Any, options: Options):
        from .training import Optimiser, backward

        super().__init__(program, lowered, device, options)
        training, graph = program.training, lowered.graph
        self._loss = lowered.blob(training.loss)
        parameters = [lowered.values[name] for name in training.parameters]
        copied = {
            lowered.blob(name): lowered.blob(new)
            for name, new in training.updates.items()
            if lowered.blob(name) != lowered.blob(new)
        }
        kept = [self._loss] + list(copied.values()) + list(graph.updated)
        forward = needed(graph.operators, kept)
        loss = lowered.values[training.loss]
        added, gradients = backward(graph, forward, loss, parameters)
        self._optimiser = Optimiser(graph, training.optimizer, parameters, gradients)
        updates = [core.CreateOperator("Copy", [new], [old]) for old, new in copied.items()]
        self._gradients = {name: gradients[lowered.blob(name)] for name in training.parameters}
        self._forward_backward = needed(forward + added, kept + list(gradients.values()))
        self._gradient_run: Optional[Any] = None
        self._first_step = training.optimizer.step
        self._weights = {name: lowered.blob(name) for name in _changing(program)}
        whole = self._forward_backward + self._optimiser.operators + updates
        if graph.library == "ideep":
            self._settle(whole)
        for blob in self._inputs.values():
            self._workspace.create_blob(blob)
        self.set_parameters({name: program.weights[name] for name in self._weights})
        self._run = self._net("train", whole, {"loss": self._loss}).run

    def _settle(self, operators: List[Any]) -> None:
        """Let weights live on IDEEP that nothing else reads. SpatialBN there keeps ONNX's variance itself."""
        graph = self._lowered.graph
        changing = set(self._weights.values()) | set(self._optimiser.state)
        self._homes = ideep.homes(operators, graph.shapes, self._fixed(), changing)
        graph.updated.update((blob, 1.0) for blob in self._homes.intersection(graph.updated))

    def train_step(self, staged: Any) -> numpy.ndarray:
        if staged is not self._staged:
            self._use(staged)
        for blob, array in self._optimiser.before_step(self._step).items():
            self._feed(blob, array)
        self._run()
        self._step += 1
        return self._fetch(self._loss)

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        if self._gradient_run is None:
            self._gradient_run = self._net("gradients", self._forward_backward, self._gradients).run
        self._use(staged)
        statistics = {blob: self._fetch(blob) for blob in self._lowered.graph.updated}
        self._gradient_run()
        for blob, array in statistics.items():
            self._feed(blob, array)
        return {name: self._lowered.back(name, self._fetch(blob)) for name, blob in self._gradients.items()}

    def parameters(self) -> Dict[str, numpy.ndarray]:
        factors = self._lowered.graph.updated
        return {
            name: self._lowered.back(name, self._fetch(blob)) / numpy.float32(factors.get(blob, 1.0))
            for name, blob in self._weights.items()
        }

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        factors = self._lowered.graph.updated
        for name, array in arrays.items():
            blob = self._weights[name]
            self._feed(blob, self._lowered.kept(name, array) * numpy.float32(factors.get(blob, 1.0)))
        for blob, array in self._optimiser.state.items():
            self._feed(blob, array)
        self._step = self._first_step
