"""Rules for operators without an ONNX function body compute what ONNX's documents define."""

from __future__ import annotations

import numpy
import onnx
import pytest
from onnx import helper

from harness.kit import Optimizer, Program
from harness.spec import optimizers, reference
from harness.spec.model import from_proto
from harness.spec.specialise import UnsupportedModel, specialise

TRAINING = "ai.onnx.preview.training"

OPTIMIZERS = [
    Optimizer("Momentum", 0.1, {"alpha": 0.9, "beta": 0.5, "mode": "standard", "norm_coefficient": 0.01}),
    Optimizer("Momentum", 0.1, {"alpha": 0.9, "beta": 0.5, "mode": "nesterov", "norm_coefficient": 0.01}),
    Optimizer("Adagrad", 0.1, {"decay_factor": 0.1, "epsilon": 1e-5, "norm_coefficient": 0.01}),
    Optimizer(
        "Adam",
        0.1,
        {"alpha": 0.875, "beta": 0.96875, "epsilon": 1e-6, "norm_coefficient": 0.01, "norm_coefficient_post": 0.1},
    ),
]


def update(optimizer: Optimizer, parameters: int) -> Program:
    """One optimizer node for some parameters of three elements, as its own model."""
    states = [f"S{k}_" for k in range(len(optimizers.kind_of(optimizer.op).states))]
    many = [f"{letter}{i}" for letter in ["X", "G", *states] for i in range(parameters)]
    new = [f"{letter}{i}_new" for letter in ["X", *states] for i in range(parameters)]
    call = helper.make_node(optimizer.op, ["R", "T", *many], new, domain=TRAINING, **optimizer.attributes)

    def typed(names: list[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in names]

    rate = helper.make_tensor_value_info("R", onnx.TensorProto.FLOAT, [])
    count = helper.make_tensor_value_info("T", onnx.TensorProto.INT64, [])
    graph = helper.make_graph([call], "g", [rate, count, *typed(many)], typed(new))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid(TRAINING, 1)], ir_version=10)
    made = specialise(from_proto(proto, "test"))
    assert made.rewritten == {optimizer.op: "rule"}
    return made.program


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: f"{one.op}-{one.attributes.get('mode', '')}")
@pytest.mark.parametrize("steps", [0, 3])
def test_an_optimizer_written_out_makes_the_step_that_onnx_defines(optimizer: Optimizer, steps: int) -> None:
    program = update(optimizer, parameters=2)
    generator = numpy.random.default_rng(0)
    feeds = {t.name: generator.uniform(0.1, 1, t.shape).astype(numpy.float32) for t in program.inputs}
    feeds |= {"R": numpy.array(optimizer.learning_rate, "f4"), "T": numpy.array(steps)}
    found = reference.evaluate(program, feeds).outputs
    states = range(len(optimizers.kind_of(optimizer.op).states))
    for i in range(2):
        given = [feeds[name].astype(float) for name in (f"X{i}", f"G{i}", *(f"S{k}_{i}" for k in states))]
        weights, kept = optimizers.step(optimizer, steps, given[0], given[1], tuple(given[2:]))
        numpy.testing.assert_allclose(found[f"X{i}_new"], weights, rtol=1e-6)
        for k in states:
            numpy.testing.assert_allclose(found[f"S{k}_{i}_new"], kept[k], rtol=1e-6)


@pytest.mark.parametrize("shape", [[], [0], [2, 3]], ids=str)
@pytest.mark.parametrize("value", [None, numpy.array([7], "i4")], ids=str)
def test_a_constant_of_given_shape_is_expanded_where_an_adapter_lacks_the_operator(shape: list, value) -> None:
    attributes = {} if value is None else {"value": onnx.numpy_helper.from_array(value)}
    call = helper.make_node("ConstantOfShape", ["shape"], ["y"], **attributes)
    given = helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [len(shape)])
    kind = onnx.TensorProto.FLOAT if value is None else onnx.TensorProto.INT32
    graph = helper.make_graph([call], "g", [given], [helper.make_tensor_value_info("y", kind, None)])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feeds = {"shape": numpy.array(shape, numpy.int64)}
    made = specialise(from_proto(proto, "test"), operators={"Expand"}, values=feeds)
    assert [node.op for node in made.program.nodes] == ["Expand"] and made.program.outputs[0].shape == tuple(shape)
    found = reference.evaluate(made.program, {}).outputs["y"]
    numpy.testing.assert_array_equal(found, numpy.full(shape, 0 if value is None else 7))


def test_nodes_written_out_have_names_that_differ() -> None:
    names = [node.name for node in update(OPTIMIZERS[-1], parameters=3).nodes]
    assert len(set(names)) == len(names)


def test_operators_of_other_domains_without_a_rule_are_refused_by_name() -> None:
    call = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml")
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in ("x", "y")]
    graph = helper.make_graph([call], "g", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 1)], ir_version=10)
    with pytest.raises(UnsupportedModel, match=r"ai\.onnx\.ml") as error:
        specialise(from_proto(proto, "test"))
    assert error.value.operator == "ai.onnx.ml.Normalizer"
