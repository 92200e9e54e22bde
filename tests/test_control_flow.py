"""Control flow, sequences and traced values: what is constant once shapes and inputs are bound is written out."""

from __future__ import annotations

import numpy
import onnx
import pytest
from graphs import model, node
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness.errors import HarnessError
from harness.kit import Program
from harness.spec.control_flow import MAX_ITERATIONS
from harness.spec.model import from_proto
from harness.spec.specialise import UnsupportedModel, specialise
from harness.spec.to_onnx import to_onnx


def parsed(text: str, opset: int = 21) -> onnx.ModelProto:
    """A model from ONNX's text format, without its header."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]>\n{text}')


def made(proto: onnx.ModelProto, **arguments) -> Program:
    return specialise(from_proto(proto, "test"), **arguments).program


def with_weights(program: Program) -> onnx.ModelProto:
    inside = to_onnx(program)
    for tensor in inside.graph.initializer:
        if tensor.name in program.weights:
            tensor.CopyFrom(numpy_helper.from_array(numpy.asarray(program.weights[tensor.name]), tensor.name))
    return inside


def same_answers(proto: onnx.ModelProto, program: Program, feeds: dict[str, numpy.ndarray]) -> None:
    inside = with_weights(program)
    onnx.checker.check_model(inside)
    expected = ReferenceEvaluator(proto).run(None, feeds)
    found = ReferenceEvaluator(inside).run(None, {t.name: feeds[t.name] for t in program.inputs})
    for tensor, right, got in zip(program.outputs, expected, found, strict=True):
        assert tensor.shape == numpy.shape(right) and tensor.dtype == numpy.asarray(right).dtype.name
        numpy.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)


def random(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).standard_normal(shape, numpy.float32)


LOOP = """test (float[2] x) => (float[2] last, float[N, 2] all)
  <int64 trips = {%d}, bool yes = {1}>
{
  last, all = Loop (trips, yes, x) <
  body = body (int64 i, bool go, float[2] state) => (bool again, float[2] next, float[2] row) {
    limit = Constant <value = int64 {%d}> ()
    again = Less (i, limit)
    step = Cast <to = 1> (i)
    next = Add (state, step)
    row = Mul (next, x)
  }>
}"""


def operators(program: Program) -> list[str]:
    return [n.op for n in program.nodes]


def test_a_loop_of_constant_trip_count_is_unrolled() -> None:
    proto = parsed(LOOP % (3, 99))
    program = made(proto)
    assert operators(program).count("Mul") == 3 and "Loop" not in operators(program)
    same_answers(proto, program, {"x": random(2)})


def test_a_loop_ends_when_its_condition_becomes_constantly_false() -> None:
    proto = parsed(LOOP % (1000, 1))
    program = made(proto)
    assert program.outputs[1].shape == (2, 2)
    same_answers(proto, program, {"x": random(2)})


def test_a_loop_of_one_iteration_and_of_none_have_their_outputs() -> None:
    for trips in (1, 0):
        proto = parsed(LOOP % (trips, 99))
        program = made(proto)
        assert program.outputs[1].shape == (trips, 2)
        if trips:
            same_answers(proto, program, {"x": random(2)})


def test_a_loop_beyond_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(UnsupportedModel, match=f"more than {MAX_ITERATIONS:,} iterations") as error:
        made(parsed(LOOP % (MAX_ITERATIONS + 1, 10**6)))
    assert error.value.operator == "Loop"


def test_a_loop_whose_condition_depends_on_data_is_refused_by_name() -> None:
    text = """test (float[2] x) => (float[2] y) <int64 trips = {3}, bool yes = {1}> {
      y = Loop (trips, yes, x) <body = body (int64 i, bool go, float[2] state) => (bool again, float[2] next) {
        next = Neg (state)
        total = ReduceSum <keepdims = 0> (next)
        again = Cast <to = 9> (total)
      }>
    }"""
    with pytest.raises(UnsupportedModel, match="condition depends on data") as error:
        made(parsed(text))
    assert error.value.operator == "Loop"


def test_a_trip_count_that_is_an_input_is_bound_to_its_value() -> None:
    proto = parsed(LOOP.replace("float[2] x)", "float[2] x, int64 trips)").replace("int64 trips = {%d}, ", "") % 99)
    feeds = {"x": random(2), "trips": numpy.array(4)}
    program = made(proto, values=feeds)
    assert [t.name for t in program.inputs] == ["x"] and program.outputs[1].shape == (4, 2)
    same_answers(proto, program, feeds)


def test_what_a_loop_carries_may_grow() -> None:
    text = """test (float[1, 2] x) => (float[N, 2] y) <int64 trips = {3}, bool yes = {1}> {
      y = Loop (trips, yes, x) <body = body (int64 i, bool go, float[M, 2] state) => (bool again, float[K, 2] next) {
        again = Identity (go)
        next = Concat <axis = 0> (state, x)
      }>
    }"""
    program = made(parsed(text))
    assert program.outputs[0].shape == (4, 2)
    same_answers(parsed(text), program, {"x": random(1, 2)})


def test_loops_in_loops_have_names_of_their_own() -> None:
    text = """test (float[2] x) => (float[2] y) <int64 trips = {2}, bool yes = {1}> {
      y = Loop (trips, yes, x) <body = outer (int64 i, bool go, float[2] state) => (bool again, float[2] next) {
        again = Identity (go)
        part = Loop (trips, go, state) <body = inner (int64 j, bool on, float[2] held) => (bool further, float[2] sum) {
          further = Identity (on)
          sum = Add (held, x)
        }>
        next = Mul (part, x)
      }>
    }"""
    program = made(parsed(text))
    names = [name for n in program.nodes for name in n.outputs]
    assert operators(program) == ["Add", "Add", "Mul"] * 2 and len(set(names)) == len(names)
    same_answers(parsed(text), program, {"x": random(2)})


def test_two_ifs_with_the_same_names_inside_do_not_clash() -> None:
    text = """test (float[2] x) => (float[2] y, float[2] z) <bool yes = {1}, bool no = {0}> {
      y = If (yes) <then_branch = a () => (float[2] r) { t = Neg (x) r = Exp (t) },
                    else_branch = b () => (float[2] r) { t = Abs (x) r = Sqrt (t) }>
      z = If (no) <then_branch = a () => (float[2] r) { t = Neg (x) r = Exp (t) },
                   else_branch = b () => (float[2] r) { t = Abs (x) r = Sqrt (t) }>
    }"""
    program = made(parsed(text))
    assert operators(program) == ["Neg", "Exp", "Abs", "Sqrt"]
    same_answers(parsed(text), program, {"x": random(2)})


def scan(**attributes) -> onnx.ModelProto:
    text = "body (float[2] state, float[2] slice) => (float[2] next, float[2] row)"
    body = onnx.parser.parse_graph(text + "{ next = Add (state, slice) row = Mul (next, slice) }")
    call = helper.make_node("Scan", ["start", "x"], ["last", "rows"], body=body, num_scan_inputs=1, **attributes)
    shape = [2, 3] if attributes.get("scan_input_axes") else [3, 2]
    return model([call], {"start": [2], "x": shape}, outputs=["last", "rows"])


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"scan_input_directions": [1]},
        {"scan_output_directions": [1]},
        {"scan_input_axes": [1]},
        {"scan_output_axes": [1]},
        {
            "scan_output_axes": [-1],
            "scan_input_axes": [-1],
            "scan_input_directions": [1],
            "scan_output_directions": [1],
        },
    ],
    ids=str,
)
def test_a_scan_is_unrolled_along_any_axis_in_either_direction(attributes: dict) -> None:
    program = made(scan(**attributes))
    feeds = {"start": random(2), "x": random(2, 3) if "scan_input_axes" in attributes else random(3, 2)}
    x = numpy.moveaxis(feeds["x"], attributes.get("scan_input_axes", [0])[0], 0)
    x = x[::-1] if "scan_input_directions" in attributes else x
    states = feeds["start"] + numpy.cumsum(x, 0)
    rows = (states * x)[::-1] if "scan_output_directions" in attributes else states * x
    rows = numpy.moveaxis(rows, 0, attributes.get("scan_output_axes", [0])[0])
    evaluator = ReferenceEvaluator(with_weights(program))
    last, found = evaluator.run(["last", "rows"], feeds)
    numpy.testing.assert_allclose(last, states[-1], rtol=1e-5)
    numpy.testing.assert_allclose(found, rows, rtol=1e-5)


# Sequences ---------------------------------------------------------------------------------------------------------


def test_sequences_with_constant_positions_are_resolved() -> None:
    text = """test (float[4, 2] x, float[1, 2] y) => (float[N, 2] out, int64 count)
    <int64 one = {1}, int64 last = {-1}> {
      empty = SequenceEmpty ()
      some = SequenceInsert (empty, x)
      two = SequenceInsert (some, y)
      more = SequenceInsert (two, y, one)
      fewer = SequenceErase (more, last)
      out = ConcatFromSequence <axis = 0> (fewer)
      count = SequenceLength (more)
    }"""
    program = made(parsed(text))
    assert operators(program) == ["Concat"]
    same_answers(parsed(text), program, {"x": random(4, 2), "y": random(1, 2)})


@pytest.mark.parametrize("split", ["", ", sizes", ", two"])
def test_a_tensor_split_into_a_sequence_is_split_for_good(split: str) -> None:
    text = """test (float[3, 2] x) => (float[N] y) <int64[2] sizes = {1, 2}, int64 two = {2}, int64 last = {-1}> {
      pieces = SplitToSequence <axis = 0, keepdims = 0> (x%s)
      y = SequenceAt (pieces, last)
    }"""
    proto = parsed(text % split)
    same_answers(proto, made(proto), {"x": random(3, 2)})


def test_tensors_stacked_on_a_new_axis_keep_their_order() -> None:
    text = """test (float[2] x, float[2] y) => (float[2, 2] z) {
      both = SequenceConstruct (x, y)
      z = ConcatFromSequence <axis = -1, new_axis = 1> (both)
    }"""
    same_answers(parsed(text), made(parsed(text)), {"x": random(2), "y": -random(2)})


def test_a_position_outside_its_sequence_is_an_error() -> None:
    text = """test (float[2] x) => (float[2] y) <int64 five = {5}> {
      only = SequenceConstruct (x)
      y = SequenceAt (only, five)
    }"""
    with pytest.raises(HarnessError, match="position 5 in a sequence of 1"):
        made(parsed(text))


def test_an_output_that_is_a_sequence_is_refused_by_name() -> None:
    text = "test (float[2] x) => (seq(float[2]) s) { s = SequenceConstruct (x) }"
    with pytest.raises(UnsupportedModel, match="output 's' is a sequence") as error:
        made(parsed(text))
    assert error.value.operator == "SequenceConstruct"


# Values that steer --------------------------------------------------------------------------------------------------


def test_what_steers_through_arithmetic_is_bound_and_what_is_computed_stays() -> None:
    text = """test (float[6] x, int64[1] half) => (float[2, M] y, int64[1] whole) <int64[1] minus = {-1}> {
      whole = Add (half, half)
      rest = Div (whole, half)
      target = Concat <axis = 0> (rest, minus)
      y = Reshape (x, target)
    }"""
    feeds = {"x": random(6), "half": numpy.array([3])}
    program = made(parsed(text), values=feeds)
    assert operators(program) == ["Add", "Reshape"] and [t.name for t in program.inputs] == ["x", "half"]
    same_answers(parsed(text), program, feeds)


def test_a_range_of_given_bounds_is_left_to_the_framework() -> None:
    text = "test (float a, float b, float c) => (float[N] y) { y = Range (a, b, c) }"
    feeds = {"a": numpy.float32(1), "b": numpy.float32(5), "c": numpy.float32(2)}
    program = made(parsed(text), values=feeds)
    assert program.nodes[0].attributes == {"start": 1.0, "limit": 5.0, "delta": 2.0, "dtype": "float32"}
    assert program.inputs == () and program.outputs[0].shape == (2,)
    same_answers(parsed(text), program, feeds)


def test_a_shape_that_depends_on_data_is_that_of_the_given_data() -> None:
    proto = model([node("NonZero", ["x"], ["y"])], {"x": [4]})
    feeds = {"x": numpy.array([0, 1, 0, 2], "f4")}
    program = made(proto, values=feeds)
    assert program.outputs[0].shape == (1, 2) and [t.name for t in program.inputs] == ["x"]
    same_answers(proto, program, feeds)


def test_a_free_axis_of_a_given_input_has_the_extent_that_is_given() -> None:
    program = made(model([node("Relu", ["x"], ["y"])], {"x": ["batch", "width"]}), values={"x": random(3, 5)})
    assert program.inputs[0].shape == (3, 5)


def test_a_bound_of_clip_that_is_computed_from_data_is_not_bound() -> None:
    text = "test (float[4] x) => (float[4] y) { least = ReduceMean <keepdims = 0> (x) y = Clip (x, least) }"
    program = made(parsed(text), values={"x": random(4)})
    assert program.nodes[-1].operands == {"min": "least"}


def test_an_output_that_is_another_name_for_a_constant_is_that_constant() -> None:
    text = "test (float[2] x) => (float[2] y, float[2] z) <float[2] k = {1, 2}> { y = Identity (k) z = Neg (x) }"
    program = made(parsed(text))
    assert operators(program) == ["Neg"] and program.weights["y"].tolist() == [1, 2]
    same_answers(parsed(text), program, {"x": random(2)})


# Types that ONNX's inference leaves open or errs about ---------------------------------------------------------------


def test_operators_without_inference_have_the_type_of_their_input() -> None:
    text = """test (float[2, 4, 3] x) => (float[a, b, c] y) <float[4] s = {1, 2, 3, 4}, float[4] b = {1, 1, 2, 2}> {
      y = GroupNormalization <num_groups = 2> (x, s, b)
    }"""
    assert made(parsed(text)).outputs[0].shape == (2, 4, 3)


@pytest.mark.parametrize(("onesided", "bins"), [("", 5), ("<onesided = 1>", 5), ("<onesided = 0>", 8)])
def test_stft_is_onesided_unless_it_says_otherwise(onesided: str, bins: int) -> None:
    text = f"""test (float[1, 32, 1] x) => (float[b, f, n, c] y) <int64 step = {{4}}, int64 size = {{8}}> {{
      y = STFT {onesided} (x, step, , size)
    }}"""
    assert made(parsed(text)).outputs[0].shape == (1, 7, bins, 2)


def test_windows_of_constant_size_are_folded_and_of_given_size_computed() -> None:
    text = "test (int64 size) => (float[n] y) { y = HannWindow (size) }"
    program = made(parsed(text), values={"size": numpy.array(10)})
    assert program.nodes[0].attributes["size"] == 10 and program.outputs[0].shape == (10,)
    constant = "test () => (float[n] y) <int64 size = {10}> { y = HannWindow (size) }"
    assert made(parsed(constant)).weights["y"].shape == (10,)


def test_names_that_a_branch_inside_a_function_body_captures_are_renamed() -> None:
    text = """test (float[2, 2, 3] theta) => (float[a, b, c, d] y) <int64[4] size = {2, 3, 4, 5}> {
      y = AffineGrid (theta, size)
    }"""
    result = specialise(from_proto(parsed(text), "test"), operators={"Add", "Mul"})
    assert result.rewritten["AffineGrid"] == "function body" and "AffineGrid" not in operators(result.program)
    same_answers(parsed(text), result.program, {"theta": random(2, 2, 3)})
