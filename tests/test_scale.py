"""Preparing a model takes work in step with its nodes: counted in calls of functions, which no neighbour disturbs."""

from __future__ import annotations

import cProfile
from pathlib import Path

import numpy
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from harness.kit import Optimizer
from harness.spec import bundle, layout, training
from harness.spec.model import from_proto
from harness.spec.specialise import specialise


def deep(layers: int) -> ModelProto:
    """Convolutions with normalisations, whose statistics training updates, and a recipe."""
    nodes, weights, value = [], [], "x"
    for index in range(layers):
        shapes = {"kernel": (2, 2, 1, 1), "scale": (2,), "shift": (2,), "mean": (2,), "variance": (2,)}
        arrays = {f"{name}{index}": numpy.ones(shape, numpy.float32) for name, shape in shapes.items()}
        weights += [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        kernel, *statistics = arrays
        nodes.append(helper.make_node("Conv", [value, kernel], [f"conv{index}"]))
        nodes.append(helper.make_node("BatchNormalization", [f"conv{index}", *statistics], [f"norm{index}"]))
        nodes.append(helper.make_node("Relu", [f"norm{index}"], [f"relu{index}"]))
        value = f"relu{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["logits"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 2, 2])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "deep", inputs, outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return training.add(proto, "softmax-cross-entropy", Optimizer("Momentum", 0.1, {}))


def calls(layers: int, purpose: str, folder: Path) -> int:
    proto = deep(layers)
    profile = cProfile.Profile()
    profile.enable()
    program = specialise(from_proto(proto, "deep"), purpose).program
    bundle.write(program, folder / f"{purpose}{layers}", layout.channels_last(program))
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("purpose", ["infer", "train"])
def test_four_times_the_nodes_take_four_times_the_work(purpose: str, tmp_path: Path) -> None:
    calls(2, purpose, tmp_path)  # what is done once
    assert calls(120, purpose, tmp_path) < 4.2 * calls(30, purpose, tmp_path)
