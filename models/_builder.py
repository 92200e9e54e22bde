"""A small vocabulary for writing ONNX models by hand.

Weights come from a seed. Each tensor has a generator of its own, numpy's PCG64 seeded with SEED and the CRC-32 of the
tensor's name, so that a tensor keeps its values whatever is added before it. Values are drawn as float64 and rounded
to float32.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy
from onnx import ModelProto, TensorProto, helper, numpy_helper

from harness.kit import program
from harness.spec import training

SEED = 2026
OPSET = 21
IR_VERSION = 10

Extent = int | str


def generator(name: str) -> numpy.random.Generator:
    """The random numbers of one tensor."""
    return numpy.random.Generator(numpy.random.PCG64([SEED, zlib.crc32(name.encode())]))


def he(fan_in: int) -> float:
    """Standard deviation that keeps the variance through a layer followed by ReLU (He et al., 2015)."""
    return math.sqrt(2 / fan_in)


def xavier(fan_in: int, fan_out: int) -> float:
    """Standard deviation that keeps the variance forwards and backwards through a linear layer (Glorot, 2010)."""
    return math.sqrt(2 / (fan_in + fan_out))


class Graph:
    """A graph under construction. Methods add nodes and weights, and return the name of what they make."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list = []
        self.weights: list[TensorProto] = []
        self.inputs: list = []

    def input(self, name: str, shape: Sequence[Extent], dtype: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def node(self, op: str, *inputs: str, name: str, **attributes) -> str:
        """One operator with one output, which bears the node's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, values, dtype=numpy.float32) -> str:
        """A tensor with given values."""
        self.weights.append(numpy_helper.from_array(numpy.asarray(values, dtype), name))
        return name

    def weight(self, name: str, shape: Sequence[int], deviation: float) -> str:
        """A tensor of normally distributed values around zero."""
        values = generator(name).standard_normal(shape) * deviation
        return self.constant(name, values.astype(numpy.float32))

    def zeros(self, name: str, *shape: int) -> str:
        return self.constant(name, numpy.zeros(shape))

    def ones(self, name: str, *shape: int) -> str:
        return self.constant(name, numpy.ones(shape))

    # Layers

    def linear(self, x: str, name: str, inputs: int, outputs: int, deviation: float | None = None) -> str:
        """x @ W.T + b for a matrix x, with He weights [outputs, inputs] unless a deviation is given."""
        weight = self.weight(f"{name}.weight", (outputs, inputs), deviation or he(inputs))
        return self.node("Gemm", x, weight, self.zeros(f"{name}.bias", outputs), name=name, transB=1)

    def classifier(self, x: str, inputs: int, classes: int) -> str:
        """The last layer. Its weights are so small that the first loss is close to log(classes)."""
        return self.linear(x, "classifier", inputs, classes, deviation=0.01)

    def conv(
        self, x: str, name: str, inputs: int, outputs: int, kernel: int, *, stride=1, pad=0, group=1, bias=True
    ) -> str:
        """A square 2-D convolution with He weights, [outputs, inputs / group, kernel, kernel]."""
        fan_in = inputs // group * kernel * kernel
        weight = self.weight(f"{name}.weight", (outputs, inputs // group, kernel, kernel), he(fan_in))
        operands = [x, weight] + ([self.zeros(f"{name}.bias", outputs)] if bias else [])
        return self.node(
            "Conv",
            *operands,
            name=name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad, pad, pad, pad],
            group=group,
        )

    def batch_normalization(self, x: str, name: str, channels: int) -> str:
        """Running statistics start at mean 0 and variance 1."""
        return self.node(
            "BatchNormalization",
            x,
            self.ones(f"{name}.scale", channels),
            self.zeros(f"{name}.bias", channels),
            self.zeros(f"{name}.running_mean", channels),
            self.ones(f"{name}.running_variance", channels),
            name=name,
            epsilon=1e-5,
            momentum=0.9,
        )

    def relu(self, x: str) -> str:
        return self.node("Relu", x, name=f"{x}.relu")

    def max_pool(self, x: str, name: str, kernel: int, stride: int, pad: int = 0) -> str:
        return self.node(
            "MaxPool", x, name=name, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad, pad, pad, pad]
        )

    # The whole

    def model(self, logits: str, classes: int, optimizer: program.Optimizer) -> ModelProto:
        """The finished model, its last tensor called "logits", trained by cross-entropy."""
        self.nodes[-1].output[0] = "logits"
        assert self.nodes[-1].name == logits, "the logits are made by the last node"
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [output], self.weights)
        model = helper.make_model(
            graph,
            producer_name="harness models",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        return training.add(model, "softmax-cross-entropy", optimizer)


def momentum(learning_rate: float, **attributes) -> program.Optimizer:
    return program.Optimizer("Momentum", learning_rate, attributes)


def nesterov(learning_rate: float, **attributes) -> program.Optimizer:
    return program.Optimizer("Momentum", learning_rate, {"mode": "nesterov", **attributes})


def adam(learning_rate: float, **attributes) -> program.Optimizer:
    return program.Optimizer("Adam", learning_rate, attributes)


def adagrad(learning_rate: float, **attributes) -> program.Optimizer:
    return program.Optimizer("Adagrad", learning_rate, attributes)
