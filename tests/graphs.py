"""Small ONNX models for tests, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import onnx
from onnx import helper, numpy_helper

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: Sequence[str] = ("y",),
    weights: dict[str, numpy.ndarray] | None = None,
    opset: int = 21,
    integers: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model of `nodes`; inputs are float32 unless their name is in `integers`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(name, INT64 if name in integers else FLOAT, list(shape))
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(numpy.asarray(array), name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(f.domain, 1) for f in functions)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def mlp(batch: int | str = "batch") -> onnx.ModelProto:
    """4 inputs, 8 hidden units, 3 outputs."""
    generator = numpy.random.default_rng(0)
    weights = {
        "w1": generator.standard_normal((4, 8)).astype("f4"),
        "b1": numpy.zeros(8, "f4"),
        "w2": generator.standard_normal((8, 3)).astype("f4"),
        "b2": numpy.zeros(3, "f4"),
    }
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    return model(nodes, {"x": [batch, 4]}, weights=weights)
