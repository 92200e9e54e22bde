"""What the four hand-written networks share: a net under construction, and the Network around it.

On a CPU, convolutions and matrix products run on IDEEP (MKL-DNN), what it lacks on Caffe2's own kernels, and data is
copied where it changes sides. On a GPU there is one side only, and cuDNN.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from ...kit.interface import Network, Options
from ...kit.program import Program
from .. import settings

IDEEP = core.DeviceOption(caffe2_pb2.IDEEP)
#: Operators that keep their own form of the weights from the first run on, unless told that these change.
_WEIGHTED = {"Conv", "ConvFusion", "FC"}

#: How an array of the Program becomes those of the blobs that keep it, and back.
Split = Callable[[numpy.ndarray], List[numpy.ndarray]]
Join = Callable[[List[numpy.ndarray]], numpy.ndarray]


def _copied_back(back: str) -> Callable[[Any, List[Any]], Any]:
    def gradient(operator: Any, gradients: List[Any]) -> Any:
        result = operator.input[0] + "_grad"
        return [core.CreateOperator(back, [gradients[0]], [result], device_option=IDEEP)], [result]

    return gradient


# Caffe2 has these copies, and no gradients of them.
core.GradientRegistry.RegisterGradient("CopyCPUToIDEEP")(_copied_back("CopyIDEEPToCPU"))
core.GradientRegistry.RegisterGradient("CopyIDEEPToCPU")(_copied_back("CopyCPUToIDEEP"))


class Model:
    """A net under construction, its weights, and where its blobs are.

    weights: {blob: first value}. kept: {name in the Program: (blobs, split, join)}. fast: the blobs on IDEEP. host:
    blobs that stay on the CPU on any device. unused: {output that nothing reads: its gradient, zeros}. before_step:
    {step: what to feed before it}.
    """

    def __init__(self, program: Program, cuda: bool):
        self.program, self.cuda = program, cuda
        self.training = program.training is not None
        self.net = core.Net(program.name)
        self.weights: Dict[str, numpy.ndarray] = {}
        self.kept: Dict[str, Tuple[List[str], Split, Join]] = {}
        self.fast: set = set()
        self.host: set = set()
        self.unused: Dict[str, str] = {}
        self.before_step: Dict[int, Dict[str, numpy.ndarray]] = {}
        self._copies: Dict[str, str] = {}
        self._small: Dict[str, List[int]] = {}
        self._count = 0

    def weight(self, name: str, fast: bool = False) -> str:
        """A weight of the Program as it is, on IDEEP if `fast`."""
        return self.parts(name, [name], lambda array: [array], lambda arrays: arrays[0], fast)[0]

    def transposed(self, name: str) -> str:
        """A matrix that the Program has as [inputs, outputs] and Caffe2's FC as [outputs, inputs], on IDEEP."""
        return self.parts(name, [name], lambda array: [array.T], lambda arrays: arrays[0].T, True)[0]

    def statistic(self, name: str, unbiased_from: int = 0) -> str:
        """A running statistic; one that the framework keeps unbiased, from n values, is kept n/(n-1) times as large."""
        n = unbiased_from
        factor = numpy.float32(n / (n - 1) if n else 1)
        return self.parts(name, [name], lambda array: [array * factor], lambda arrays: arrays[0] / factor, True)[0]

    def parts(self, name: str, blobs: List[str], split: Split, join: Join, fast: bool = False) -> List[str]:
        """Blobs that keep a weight of the Program."""
        self.kept[name] = (blobs, split, join)
        for blob, array in zip(blobs, split(self.program.weights[name])):
            self.constant(blob, array, fast)
        return blobs

    def constant(self, name: str, array: Any, fast: bool = False) -> str:
        self.weights[name] = numpy.ascontiguousarray(array)
        if fast and not self.cuda:
            self.fast.add(name)
        return name

    # Layers

    def cpu(self, op: str, *inputs: str, outputs: Sequence[str] = (), **arguments: Any) -> str:
        """An operator of Caffe2's own; its first output."""
        outputs = outputs or [self.new(op)]
        self.net.Proto().op.extend([core.CreateOperator(op, list(inputs), list(outputs), **arguments)])
        return outputs[0]

    def ideep(self, op: str, *inputs: str, outputs: Sequence[str] = (), **arguments: Any) -> str:
        """An operator that runs on IDEEP where the device is a CPU."""
        if self.cuda:
            return self.cpu(op, *inputs, outputs=outputs, **arguments)
        outputs = outputs or [self.new(op)]
        self.fast.update(outputs)
        arguments.update(device_option=IDEEP)
        if op in _WEIGHTED:
            arguments.update(training_mode=int(self.training))
        return self.cpu(op, *inputs, outputs=outputs, **arguments)

    def new(self, what: str) -> str:
        """A new blob's name."""
        self._count += 1
        return f"{what}_{self._count}"

    def to_ideep(self, x: str) -> str:
        """The copy of a blob there, made once."""
        if self.cuda or x in self.fast:
            return x
        if x not in self._copies:
            self._copies[x] = self.ideep("CopyCPUToIDEEP", x)
        return self._copies[x]

    def large_fc(self, x: str, weight: str, bias: str, axis: int = 1) -> str:
        """x @ weight.T + bias on IDEEP, forwards and backwards, as a matrix; the weight may be on either side."""
        return self.to_cpu(self.ideep("FC", self.to_ideep(x), self.to_ideep(weight), self.to_ideep(bias), axis=axis))

    def small_fc(self, x: str, weight: str, bias: str, shape: Sequence[int]) -> str:
        """x @ weight.T + bias on the last axis: of few rows the product is faster on IDEEP, its gradient is not."""
        y = self.cpu("FC", x, weight, bias, axis=len(shape) - 1)
        self._small[y] = list(shape)
        return y

    def move_small(self) -> None:
        """Put the small products on IDEEP, when the gradients are there."""
        operators = list(self.net.Proto().op)
        del self.net.Proto().op[:]
        for operator in operators:
            if self.cuda or operator.type != "FC" or operator.output[0] not in self._small:
                self.net.Proto().op.extend([operator])
                continue
            y, axis = operator.output[0], len(self._small[operator.output[0]]) - 1
            product = self.ideep("FC", *[self.to_ideep(name) for name in operator.input], axis=axis)
            self.cpu("CopyIDEEPToCPU", product, outputs=[y], device_option=IDEEP)
            self.reshaped(y, *self._small[y])

    def to_cpu(self, x: str, image: bool = False) -> str:
        """An image may lie channels-last on IDEEP, and is copied as it lies; a Transpose that turns nothing helps."""
        if x not in self.fast:
            return x
        if image:
            x = self.ideep("Transpose", x, axes=[0, 1, 2, 3])
        return self.cpu("CopyIDEEPToCPU", x, device_option=IDEEP)

    def conv_relu(self, x: str, *weights: str, **arguments: Any) -> str:
        if self.training or self.cuda:
            return self.ideep("Relu", self.ideep("Conv", x, *weights, **arguments))
        return self.ideep("ConvFusion", x, *weights, fusion_type=1, **arguments)

    def fc(self, x: str, weight: str, bias: str) -> str:
        """x @ weight.T + bias on Caffe2's own kernel, MKL's."""
        return self.cpu("FC", x, weight, bias)

    def embedded(self, tokens: str, name: str) -> str:
        """[n] -> [n, width]: the rows of an embedding, whose gradient is dense."""
        return self.cpu("Gather", self.weight(name), tokens, axis=0, dense_gradient=1)

    def reshaped(self, x: str, *shape: int, in_place: bool = True) -> str:
        """In place unless a gradient needs x as it was: a copy costs time."""
        outputs = [x if in_place else self.new("reshaped"), self.new("shape")]
        return self.cpu("Reshape", x, outputs=outputs, shape=list(shape))

    def cross_entropy(self, logits: str, labels: str) -> str:
        labels = self.cpu("Cast", labels, to=core.DataType.INT32)
        self.cpu("SoftmaxWithLoss", logits, labels, outputs=[self.new("probabilities"), "loss"])
        return "loss"


class HandWritten(Network):
    """A model, trained by the cross-entropy of its logits with the last input.

    build(model, *inputs) -> logits. optimize(model, {parameter: gradient}): appends the optimizer's operators to
    `model.net`, and returns state {blob: first value}.
    """

    def __init__(self, program: Program, device: str, options: Options, build: Callable, optimize: Callable):
        settings.check(device, options)
        cuda = device == "cuda"
        self.program, self.options = program, options
        self.model = model = Model(program, cuda)
        self.device: Optional[Any] = settings.CUDA if cuda else None
        self.library = ("cudnn" if options.cudnn else "") if cuda else "ideep"
        self.workspace = workspace.C.Workspace()
        self.blobs: Dict[str, Any] = {}
        self.staged: Any = None
        self.names = [tensor.name for tensor in program.inputs]
        self.state: Dict[str, numpy.ndarray] = {}
        build_inputs = self.names[:-1] if model.training else self.names
        self.logits = build(model, *build_inputs)
        if model.training:
            self.loss_blob = model.cross_entropy(self.logits, self.names[-1])
            found = model.net.AddGradientOperators({self.loss_blob: None, **model.unused})
            blobs = [blob for name in program.training.parameters for blob in model.kept[name][0]]
            self.found = {blob: str(found[blob]) for blob in blobs}
            model.move_small()
            before = len(model.net.Proto().op)
            self.state = optimize(model, self.found)
            self.forward_backward = model.net.Proto().op[:before]
        else:
            model.move_small()
        self._feed_all()
        self.run = self._net(program.name, model.net.Proto().op)
        self.operators = len(model.net.Proto().op)
        self.gradient_run: Any = None
        self.steps = 0

    def _feed_all(self) -> None:
        for name in self.names:
            self.blobs[name] = self.workspace.create_blob(name)
        for blob, array in {**self.model.weights, **self.state}.items():
            self._feed(blob, array)

    def _net(self, name: str, operators: Sequence[Any]) -> Callable[[], None]:
        net = caffe2_pb2.NetDef(name=name, type="simple", num_workers=1)
        net.op.extend(operators)
        net.external_input.extend(list(self.blobs))
        if self.device is not None:
            net.device_option.CopyFrom(self.device)
            settings.pin(net, self.library)
        return self.workspace._create_net(net.SerializeToString()).run

    def _feed(self, blob: str, array: numpy.ndarray) -> None:
        if blob not in self.blobs:
            self.blobs[blob] = self.workspace.create_blob(blob)
        device = IDEEP if blob in self.model.fast else None if blob in self.model.host else self.device
        self.blobs[blob]._feed(
            numpy.ascontiguousarray(array), *([] if device is None else [device.SerializeToString()])
        )

    def _fetch(self, blob: str) -> numpy.ndarray:
        if blob in self.model.fast:
            copy = core.CreateOperator("CopyIDEEPToCPU", [blob], ["fetched"], device_option=IDEEP)
            self.workspace._run_operator(copy.SerializeToString())
            blob = "fetched"
        return numpy.array(self.workspace.fetch_blob(blob))

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        staged = {name: arrays[name] for name in self.names}
        self._use(staged)
        return staged

    def _use(self, staged: Any) -> None:
        if staged is not self.staged:
            for name in self.names:
                self._feed(name, staged[name])
            self.staged = staged

    def infer(self, staged: Any) -> None:
        if staged is not self.staged:
            self._use(staged)
        self.run()

    def fetch(self, outputs: Any) -> Dict[str, numpy.ndarray]:
        return {self.program.outputs[0].name: self._fetch(self.logits)}

    def synchronize(self) -> None:
        """Running a Caffe2 net returns when the net is finished."""

    def train_step(self, staged: Any) -> numpy.ndarray:
        if staged is not self.staged:
            self._use(staged)
        for blob, array in self.model.before_step.get(self.steps, {}).items():
            self._feed(blob, array)
        self.run()
        self.steps += 1
        return self.workspace.fetch_blob(self.loss_blob)

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        if self.gradient_run is None:
            self.gradient_run = self._net(self.program.name + "_gradients", self.forward_backward)
        self._use(staged)
        before = {name: self._value(name) for name in self.program.training.updates}
        self.gradient_run()
        for name, array in before.items():
            self._set(name, array)
        return {name: self._value(name, self.found.get) for name in self.program.training.parameters}

    def _value(self, name: str, blob_of: Callable[[str], str] = str) -> numpy.ndarray:
        blobs, _, join = self.model.kept[name]
        return join([self._fetch(blob_of(blob)) for blob in blobs])

    def _set(self, name: str, array: numpy.ndarray) -> None:
        blobs, split, _ = self.model.kept[name]
        for blob, part in zip(blobs, split(array)):
            self._feed(blob, part)

    def parameters(self) -> Dict[str, numpy.ndarray]:
        training = self.program.training
        return {name: self._value(name) for name in [*training.parameters, *training.updates]}

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        for name, array in arrays.items():
            self._set(name, array)
        for blob, array in self.state.items():
            self._feed(blob, array)
        self.steps = 0

    def describe(self) -> Dict[str, Any]:
        return {"graph": "simple", "layout": "NCHW" if self.model.cuda else "blocked", "library": self.library,
                "operators": self.operators}  # fmt: skip

    def close(self) -> None:
        self.blobs.clear()
        self.workspace = self.staged = None
