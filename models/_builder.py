"""A small vocabulary for writing ONNX models by hand.

Weights come from a seed. Each tensor has a generator of its own, PCG64 seeded with SEED and the CRC-32 of the
tensor's name, so it keeps its values whatever else a model gains or loses. The generator's raw bits, whose order
numpy guarantees, become uniform float32 numbers by exact arithmetic: the same weights on every machine.
"""

import math
import zlib

import numpy
from onnx import ModelProto, TensorProto, helper

from harness.kit import program
from harness.spec import training

SEED = 2026
OPSET = 21
IR_VERSION = 10


def uniform(name, shape, deviation):
    """A tensor of uniform float32 numbers with mean zero and the given standard deviation."""
    bits = numpy.random.PCG64([SEED, zlib.crc32(name.encode())])
    values = numpy.empty(math.prod(shape), numpy.float32)
    limit = numpy.float32(math.sqrt(3) * deviation)
    for start in range(0, len(values), 1 << 20):
        part = values[start : start + (1 << 20)]
        high = (bits.random_raw(len(part)) >> numpy.uint64(40)).astype(numpy.float32)  # integers below 2**24: exact
        part[:] = (high * numpy.float32(2**-23) - numpy.float32(1)) * limit
    return values.reshape(shape)


def he(fan_in):
    """Standard deviation that keeps the variance through a layer followed by ReLU (He et al., 2015)."""
    return math.sqrt(2 / fan_in)


def xavier(fan_in, fan_out):
    """Standard deviation that keeps the variance forwards and backwards (Glorot and Bengio, 2010)."""
    return math.sqrt(2 / (fan_in + fan_out))


class Graph:
    """A graph under construction. Methods add nodes and weights, and return the name of what they make."""

    def __init__(self, name):
        self.proto = ModelProto(ir_version=IR_VERSION, producer_name="harness models")
        self.proto.opset_import.append(helper.make_opsetid("", OPSET))
        self.graph = self.proto.graph
        self.graph.name = name

    def image(self, channels, side):
        """The input of a network that sees: float32 [batch, channels, side, side]."""
        return self.input("image", ["batch", channels, side, side])

    def tokens(self, length):
        """The input of a network that reads: int64 [batch, length]."""
        return self.input("tokens", ["batch", length], TensorProto.INT64)

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.graph.input.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def node(self, op, *inputs, name, output=0, **attributes):
        """One operator. Of its outputs only number `output` is used; it bears the node's name."""
        self.graph.node.append(helper.make_node(op, inputs, [""] * output + [name], name=name, **attributes))
        return name

    def constant(self, name, values, dtype=numpy.float32):
        """A tensor with given values."""
        values = numpy.asarray(values, dtype)
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
        self.graph.initializer.add(name=name, data_type=kind, dims=values.shape, raw_data=little_endian.tobytes())
        return name

    def weight(self, name, shape, deviation):
        return self.constant(name, uniform(name, shape, deviation))

    def near(self, middle, name, *shape, deviation=0.02):
        """A tensor of numbers a little off a middle. A bias of exactly 0, or a scale of exactly 1, would let an adapter
        that forgets it pass as right."""
        return self.constant(name, numpy.float32(middle) + uniform(name, shape, deviation))

    # Layers

    def linear(self, x, name, inputs, outputs, deviation=None):
        """x @ W.T + b for a matrix x, with He weights [outputs, inputs] unless a deviation is given."""
        weight = self.weight(f"{name}.weight", (outputs, inputs), deviation or he(inputs))
        return self.node("Gemm", x, weight, self.near(0, f"{name}.bias", outputs), name=name, transB=1)

    def classifier(self, x, inputs, classes):
        """The last layer. Its weights are so small that the first loss is close to log(classes)."""
        return self.linear(x, "classifier", inputs, classes, deviation=0.01)

    def conv(self, x, name, inputs, outputs, kernel, stride=1, pad=0, group=1, bias=True, deviation=None):
        """A square 2-D convolution, its weights [outputs, inputs / group, kernel, kernel] like those of `linear`."""
        shape = (outputs, inputs // group, kernel, kernel)
        operands = [x, self.weight(f"{name}.weight", shape, deviation or he(math.prod(shape[1:])))]
        if bias:
            operands.append(self.near(0, f"{name}.bias", outputs))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self.node("Conv", *operands, name=name, group=group, **window)

    def batch_normalization(self, x, name, channels):
        """Running statistics start near mean 0 and variance 1."""
        parameters = [self.near(1, f"{name}.scale", channels), self.near(0, f"{name}.bias", channels)]
        statistics = [
            self.near(0, f"{name}.mean", channels, deviation=0.1),
            self.near(1, f"{name}.variance", channels, deviation=0.1),
        ]
        return self.node("BatchNormalization", x, *parameters, *statistics, name=name, epsilon=1e-5, momentum=0.9)

    def layer_normalization(self, x, name, width):
        """Over the last axis."""
        parameters = [self.near(1, f"{name}.scale", width), self.near(0, f"{name}.bias", width)]
        return self.node("LayerNormalization", x, *parameters, name=name, axis=-1, epsilon=1e-5)

    def relu(self, x):
        return self.node("Relu", x, name=f"{x}.relu")

    def max_pool(self, x, name, kernel, stride, pad=0):
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self.node("MaxPool", x, name=name, **window)

    def pool_and_flatten(self, x):
        """The mean over the image: [batch, channels, height, width] -> [batch, channels]."""
        return self.node("Flatten", self.node("GlobalAveragePool", x, name="pool"), name="flatten", axis=1)

    # The whole

    def inference(self, last, width):
        """The finished model without a recipe for training: what the last node makes is its output."""
        self.graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", width]))
        return self.proto

    def model(self, logits, classes, optimizer):
        """The finished model: what the last node makes is the output "logits", trained by cross-entropy."""
        last = self.graph.node[-1]
        if last.output[0] != logits:
            raise ValueError(f"{self.graph.name}: the last node makes {last.output[0]}, not {logits}")
        last.output[0] = "logits"
        shape = ["batch", classes]
        self.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
        return training.add(self.proto, "softmax-cross-entropy", optimizer)


def momentum(learning_rate, **attributes):
    return program.Optimizer("Momentum", learning_rate, attributes)


def nesterov(learning_rate, **attributes):
    return program.Optimizer("Momentum", learning_rate, {"mode": "nesterov", **attributes})


def adam(learning_rate, **attributes):
    return program.Optimizer("Adam", learning_rate, attributes)


def adagrad(learning_rate, **attributes):
    return program.Optimizer("Adagrad", learning_rate, attributes)
