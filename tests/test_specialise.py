"""Specialising: shapes bound, constants folded, functions inlined, one operator set, the same answers."""

from __future__ import annotations

import numpy
import onnx
import pytest
from graphs import mlp, model, node
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from harness.errors import HarnessError
from harness.kit import Program
from harness.spec import inputs, reference
from harness.spec.model import from_proto
from harness.spec.specialise import Specialised, UnsupportedModel
from harness.spec.specialise import specialise as specialise_model


def specialise(proto: onnx.ModelProto, **arguments) -> Specialised:
    return specialise_model(from_proto(proto, "test"), **arguments)


def operators(program: Program) -> list[str]:
    return [n.op for n in program.nodes]


def same_answers(proto: onnx.ModelProto, program: Program) -> None:
    """onnx.reference on the file and on the Program, for the same inputs."""
    feeds = inputs.make(program, 0)
    expected = ReferenceEvaluator(proto).run(None, feeds)
    found = reference.evaluate(program, feeds).outputs
    for tensor, right in zip(program.outputs, expected, strict=True):
        numpy.testing.assert_allclose(found[tensor.name], right, rtol=1e-5, atol=1e-6)


def test_the_free_first_axis_is_the_batch_and_every_shape_is_concrete() -> None:
    made = specialise(mlp(), batch=5)
    assert made.bound == {"batch": 5}
    assert made.program.inputs[0].shape == (5, 4)
    assert made.program.outputs[0].shape == (5, 3)
    assert all(isinstance(extent, int) for t in made.program.tensors.values() for extent in t.shape)
    same_answers(mlp(), made.program)


def test_other_free_axes_take_their_extent_by_name_or_a_default_that_is_told() -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": ["batch", "sequence"]})
    assert specialise(proto, shapes={"sequence": 7}).program.inputs[0].shape == (1, 7)
    assert specialise(proto).bound == {"batch": 1, "sequence": 128}


def test_a_dimension_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(HarnessError, match=r"no dimension 'width'(.|\n)*batch"):
        specialise(mlp(), shapes={"width": 3})


def test_a_fixed_batch_cannot_become_another() -> None:
    with pytest.raises(HarnessError, match="fixed at 2"):
        specialise(mlp(batch=2), batch=8)
    assert specialise(mlp(batch=2), batch=2).program.inputs[0].shape == (2, 4)


def test_what_follows_from_shapes_is_folded_away() -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ]
    weights = {"zero": numpy.array([0]), "rest": numpy.array([-1])}
    proto = model(nodes, {"x": ["batch", 2, 3]}, weights=weights)
    program = specialise(proto, batch=4).program
    assert operators(program) == ["Reshape"]
    assert program.nodes[0].attributes["shape"] == [4, -1] and program.nodes[0].inputs == ("x",)
    assert program.initializers == ()
    same_answers(proto, program)


def test_identity_and_dropout_are_gone_and_outputs_keep_their_names() -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Dropout", ["a"], ["b"]),
        node("Identity", ["b"], ["c"]),
        node("Identity", ["c"], ["y"]),
        node("Identity", ["c"], ["z"]),
    ]
    proto = model(nodes, {"x": [3]}, outputs=["y", "z"])
    program = specialise(proto).program
    assert [t.name for t in program.outputs] == ["y", "z"]
    assert operators(program) == ["Relu", "Identity"]
    same_answers(proto, program)


def test_nodes_that_nothing_needs_are_removed() -> None:
    proto = model([node("Exp", ["x"], ["unused"]), node("Relu", ["x"], ["y"])], {"x": [3]})
    assert operators(specialise(proto).program) == ["Relu"]


def test_old_operator_sets_are_lifted() -> None:
    nodes = [node("Squeeze", ["x"], ["s"], axes=[1]), node("Softmax", ["s"], ["y"], axis=1)]
    program = specialise(model(nodes, {"x": [2, 1, 3]}, opset=11)).program
    assert program.opset == 21
    squeeze = next(n for n in program.nodes if n.op == "Squeeze")
    assert squeeze.attributes["axes"] == [1]


def test_newer_operator_sets_stay() -> None:
    assert specialise(model([node("Swish", ["x"], ["y"])], {"x": [3]}, opset=24)).program.opset == 24


def test_a_slope_per_channel_of_an_old_prelu_stays_one_per_channel() -> None:
    slopes = {"s": numpy.array([0.1, 0.2, 0.3], "f4")}
    program = specialise(
        model([node("PRelu", ["x", "s"], ["y"])], {"x": [1, 3, 3, 3]}, weights=slopes, opset=6)
    ).program
    assert [array.shape for array in program.weights.values()] == [(3, 1, 1)]


def test_functions_of_the_file_are_inlined() -> None:
    double = helper.make_function(
        "mine", "Double", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 21)]
    )
    call = helper.make_node("Double", ["x"], ["y"], domain="mine")
    proto = model([call], {"x": [3]}, functions=[double])
    program = specialise(proto).program
    assert operators(program) == ["Add"]
    same_answers(proto, program)


def test_an_if_with_a_constant_condition_is_the_branch_it_takes() -> None:
    branches = {
        name: helper.make_graph(
            [node(op, ["x"], [f"{op}_y"])], name, [], [helper.make_empty_tensor_value_info(f"{op}_y")]
        )
        for name, op in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    proto = model([node("If", ["c"], ["y"], **branches)], {"x": [3]}, weights={"c": numpy.array(False)})
    program = specialise(proto).program
    assert operators(program) == ["Neg"] and program.outputs[0].name == "y"
    same_answers(proto, program)


def test_control_flow_that_depends_on_data_is_unsupported_by_name() -> None:
    branch = helper.make_graph([node("Relu", ["x"], ["b"])], "b", [], [helper.make_empty_tensor_value_info("b")])
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Cast", ["s"], ["c"], to=onnx.TensorProto.BOOL),
        node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(UnsupportedModel) as error:
        specialise(model(nodes, {"x": [3]}))
    assert error.value.operator == "If"


def test_a_shape_that_depends_on_data_is_unsupported_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="NonZero") as error:
        specialise(model([node("NonZero", ["x"], ["y"])], {"x": [3]}))
    assert error.value.operator == "NonZero"


def test_an_operator_of_another_domain_is_unsupported_by_name() -> None:
    proto = model([helper.make_node("Fused", ["x"], ["y"], domain="com.example")], {"x": [3]})
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedModel, match=r"com\.example") as error:
        specialise(proto)
    assert error.value.operator == "com.example.Fused"


def test_wrong_shapes_name_the_node_and_its_inputs() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"], name="here")], {"x": [2, 3]}, weights={"w": numpy.ones((4, 5), "f4")}
    )
    with pytest.raises(HarnessError, match=r"MatMul \(here\)(.|\n)*x float32\[2, 3\], w float32\[4, 5\]"):
        specialise(proto)


def test_what_an_adapter_lacks_is_replaced_by_its_function_body() -> None:
    nodes = [node("LayerNormalization", ["x", "g", "b"], ["n"]), node("Gelu", ["n"], ["y"])]
    weights = {"g": numpy.full(6, 1.5, "f4"), "b": numpy.full(6, 0.5, "f4")}
    proto = model(nodes, {"x": [2, 6]}, weights=weights)
    basic = {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sqrt",
        "Reciprocal",
        "ReduceMean",
        "Erf",
        "Cast",
        "Reshape",
        "Flatten",
        "Gelu",
    }
    made = specialise(proto, operators=basic)
    assert made.rewritten == {"LayerNormalization": "function body"}
    assert "LayerNormalization" not in operators(made.program) and "Gelu" in operators(made.program)
    same_answers(proto, made.program)


def test_an_input_that_steers_is_bound_to_its_value_where_it_is_given() -> None:
    proto = model([node("Reshape", ["x", "target"], ["y"])], {"x": [2, 3], "target": [1]}, integers=["target"])
    program = specialise(proto, values={"target": numpy.array([6])}).program
    assert [t.name for t in program.inputs] == ["x"]
    assert program.outputs[0].shape == (6,)


def test_auto_pad_is_written_out_as_pads() -> None:
    weights = {"w": numpy.ones((1, 1, 3, 3), "f4")}
    nodes = [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])]
    proto = model(nodes, {"x": [1, 1, 6, 6]}, weights=weights)
    program = specialise(proto).program
    assert program.nodes[0].attributes["pads"] == [0, 0, 1, 1] and "auto_pad" not in program.nodes[0].attributes
    same_answers(proto, program)


def test_ten_thousand_nodes_take_time_in_proportion() -> None:
    import time

    def seconds(count: int) -> float:
        chain = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
        loaded = from_proto(model(chain, {"t0": ["batch", 4]}, outputs=[f"t{count}"]), "chain")
        begin = time.process_time()
        specialise_model(loaded)
        return time.process_time() - begin

    seconds(100)
    assert seconds(10_000) < 10


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    ops=st.lists(st.sampled_from(["Relu", "Neg", "Abs", "Sigmoid", "Tanh", "Identity"]), min_size=1, max_size=6),
    constant=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_chains_give_the_same_answers_before_and_after(shape: list[int], ops: list[str], constant: bool) -> None:
    names = [f"t{i}" for i in range(len(ops))] + ["y"]
    nodes = [node(op, [a], [b]) for op, a, b in zip(ops, names, names[1:], strict=False)]
    if constant:
        nodes[-1].output[0] = "z"
        nodes.append(node("Mul", ["z", "k"], ["y"]))
    nodes[0].input[0] = "t0"
    proto = model(nodes, {"t0": shape}, weights={"k": numpy.full(shape[-1:], 2.0, "f4")} if constant else {})
    if len(ops) == 1 and not constant:
        nodes[0].output[0] = "y"
    same_answers(proto, specialise(proto).program)


def test_a_gradient_in_the_graph_reads_what_it_differentiates_where_an_adapter_can_do_that() -> None:
    proto = model([node("Mul", ["a", "a"], ["y"])], {"a": [3]}, outputs=["y", "da"])
    proto.graph.node.append(
        helper.make_node("Gradient", ["a"], ["da"], domain="ai.onnx.preview.training", xs=["a"], y="y")
    )
    proto.opset_import.append(helper.make_opsetid("ai.onnx.preview.training", 1))
    program = specialise(proto, operators={"Mul", "Gradient"}).program
    assert [(n.op, n.inputs) for n in program.nodes] == [("Mul", ("a", "a")), ("Gradient", ("a", "y"))]
    assert program.outputs[1].shape == (3,)
    with pytest.raises(UnsupportedModel) as refused:
        specialise(proto, operators={"Mul"})
    assert refused.value.operator == "ai.onnx.preview.training.Gradient"
