"""A deep network as exporters write them: convolutions, attention, shape computations, functions, constants."""

from __future__ import annotations

import numpy
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx import TensorProto as T

from harness.kit import Optimizer
from harness.spec import training

_CHANNELS, _EXTENT, _CLASSES = 8, 4, 10
_OPSET = 17
_DOMAIN = "deep.net"


def make(blocks: int, recipe: bool = False) -> ModelProto:
    """A classifier of images of `blocks` blocks, each 16 nodes of its Program for inference and 30 of its file.

    recipe: with a training recipe.
    """
    graph = _Graph()
    value = "image"
    for index in range(blocks):
        value = _block(graph, value, f"layer{index}")
    pooled = graph.add("GlobalAveragePool", [value], "head/pool")
    flat = graph.add("Flatten", [pooled], "head/flatten")
    weight = graph.weight("head/weight", (_CLASSES, _CHANNELS))
    graph.nodes.append(helper.make_node("Gemm", [flat, weight], ["scores"], "head/gemm", transB=1))
    shape = ["N", _CHANNELS, _EXTENT, _EXTENT]
    inputs = [helper.make_tensor_value_info("image", T.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("scores", T.FLOAT, ["N", _CLASSES])]
    body = helper.make_graph(graph.nodes, "deep_net", inputs, outputs, graph.weights)
    imports = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_DOMAIN, 1)]
    model = helper.make_model(body, opset_imports=imports, functions=[_swish()], ir_version=9)
    if recipe:
        momentum = Optimizer("Momentum", 0.01, {"alpha": 0.9, "mode": "standard", "norm_coefficient": 0.0})
        model = training.add(model, "softmax-cross-entropy", momentum)
    return model


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights = []
        self._random = numpy.random.default_rng(0)

    def add(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        array = (self._random.standard_normal(shape) / _CHANNELS).astype(numpy.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def constant(self, name: str, array: object, dtype: type = numpy.int64) -> str:
        return self.add("Constant", [], name, value=numpy_helper.from_array(numpy.array(array, dtype)))


def _block(graph: _Graph, value: str, at: str) -> str:
    """A residual convolution with a normalisation, then attention over what it made, both as PyTorch exports them."""
    kernel = graph.weight(f"{at}/kernel", (_CHANNELS, _CHANNELS, 3, 3))
    bias = graph.weight(f"{at}/bias", (_CHANNELS,))
    made = graph.add("Conv", [value, kernel, bias], f"{at}/conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    statistics = [graph.weight(f"{at}/{name}", (_CHANNELS,)) for name in ("scale", "shift", "mean", "variance")]
    graph.weights[-1].CopyFrom(numpy_helper.from_array(numpy.ones(_CHANNELS, numpy.float32), statistics[-1]))
    made = graph.add("BatchNormalization", [made, *statistics], f"{at}/norm")
    made = graph.add("Relu", [made], f"{at}/relu")
    made = graph.add("Dropout", [made], f"{at}/dropout")
    made = graph.add("Add", [made, value], f"{at}/residual")
    return _attention(graph, made, f"{at}/attention")


def _attention(graph: _Graph, value: str, at: str) -> str:
    """Softmax(x Wq x^T / sqrt(channels)) x over the image's places; its shapes are computed as an exporter does it."""
    shape = graph.add("Shape", [value], f"{at}/shape")
    extents = [
        graph.add("Gather", [shape, graph.constant(f"{at}/axis{axis}", axis)], f"{at}/extent{axis}") for axis in (0, 1)
    ]
    wide = [
        graph.add("Unsqueeze", [extent, graph.constant(f"{at}/zero{i}", [0])], f"{at}/wide{i}")
        for i, extent in enumerate(extents)
    ]
    flat = graph.add("Concat", [*wide, graph.constant(f"{at}/rest", [-1])], f"{at}/flat", axis=0)
    rows = graph.add("Transpose", [graph.add("Reshape", [value, flat], f"{at}/rows")], f"{at}/turned", perm=[0, 2, 1])
    query = graph.add("MatMul", [rows, graph.weight(f"{at}/query", (_CHANNELS, _CHANNELS))], f"{at}/queries")
    key = graph.add("Transpose", [rows], f"{at}/keys", perm=[0, 2, 1])
    root = graph.add("Sqrt", [graph.constant(f"{at}/width", float(_CHANNELS), numpy.float32)], f"{at}/root")
    scores = graph.add("Div", [graph.add("MatMul", [query, key], f"{at}/products"), root], f"{at}/scores")
    mixed = graph.add("MatMul", [graph.add("Softmax", [scores], f"{at}/softmax", axis=-1), rows], f"{at}/mixed")
    gated = graph.add("Swish", [graph.add("Identity", [mixed], f"{at}/same")], f"{at}/swish", domain=_DOMAIN)
    back = graph.add("Transpose", [gated], f"{at}/back", perm=[0, 2, 1])
    return graph.add("Reshape", [back, graph.add("Shape", [value], f"{at}/again")], f"{at}/image")


def _swish() -> object:
    nodes = [helper.make_node("Sigmoid", ["x"], ["gate"]), helper.make_node("Mul", ["x", "gate"], ["y"])]
    return helper.make_function(_DOMAIN, "Swish", ["x"], ["y"], nodes, [helper.make_opsetid("", _OPSET)])
