"""The floors of memory, traffic and arithmetic: small networks counted by hand, and what must always hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import pytest
from graphs import mlp, model, node
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import zoo
from harness.kit import Node, Optimizer, Program, Tensor, Training
from harness.spec.backward import Gradients, saved
from harness.spec.cost import cost, floor, step_flops, traffic
from harness.spec.dataflow import WHOLE, Dataflow, tensor_bytes
from harness.spec.liveness import states
from harness.spec.model import from_proto, load
from harness.spec.specialise import specialise

ADAM = Optimizer("Adam", 0.1, {"norm_coefficient": 0.0})
MOMENTUM = Optimizer("Momentum", 0.1, {"alpha": 0.9, "norm_coefficient": 0.0})


def call(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Node:
    return Node(op, "", tuple(inputs), tuple(outputs), attributes)


def made(
    nodes: Sequence[Node],
    shapes: dict[str, tuple[int, ...]],
    inputs: Sequence[str] = ("x",),
    weights: Sequence[str] = (),
    outputs: Sequence[str] = ("y",),
    optimizer: Optimizer | None = None,
    dtype: str = "float32",
) -> Program:
    """A Program of float32 tensors. With an optimizer it trains every weight, and its first output is the loss."""
    tensors = {name: Tensor(name, dtype, shape) for name, shape in shapes.items()}
    training = Training(outputs[0], tuple(weights), optimizer) if optimizer else None
    chosen = [tuple(tensors[name] for name in names) for names in (inputs, outputs, weights)]
    return Program("made", 21, *chosen, tuple(nodes), tensors, training, {})


def chain(*ops: str, elements: int = 10) -> Program:
    """Operators of one operand after one another, all tensors of the same size."""
    names = ["x", *(f"t{number}" for number in range(len(ops) - 1)), "y"]
    nodes = [call(op, [names[i]], [names[i + 1]], kernel_shape=[1]) for i, op in enumerate(ops)]
    return made(nodes, dict.fromkeys(names, (1, 1, elements)))


# Inference -----------------------------------------------------------------------------------------------------------


def test_a_window_needs_its_operand_beside_its_result() -> None:
    assert floor(chain("MaxPool", "MaxPool", "MaxPool")).activation_bytes == 2 * 40


def test_elementwise_operators_work_in_place_or_stream() -> None:
    assert floor(chain("MaxPool", "Relu", "Exp", "Tanh")).activation_bytes == 40


def test_what_is_read_again_later_cannot_be_overwritten() -> None:
    nodes = [call("MaxPool", ["x"], ["a"]), call("Relu", ["a"], ["b"]), call("MaxPool", ["b"], ["c"])]
    shapes = dict.fromkeys("xabcy", (1, 1, 10))
    straight = made([*nodes, call("Relu", ["c"], ["y"])], shapes)
    residual = made([*nodes, call("Add", ["a", "c"], ["y"])], shapes)
    assert floor(straight).activation_bytes == 2 * 40
    assert floor(residual).activation_bytes == 3 * 40


def test_a_view_takes_no_memory_and_keeps_its_source() -> None:
    nodes = [
        call("MaxPool", ["x"], ["a"]),
        call("Reshape", ["a"], ["v"], shape=[10]),
        call("MaxPool", ["x"], ["b"]),
        call("MatMul", ["v", "b"], ["y"]),
    ]
    program = made(nodes, {"x": (1, 1, 10), "a": (1, 1, 10), "v": (10,), "b": (10, 1), "y": (1,)})
    assert floor(program).activation_bytes == 40 + 40 + 4


def test_parts_of_a_tensor_take_no_more_than_the_tensor() -> None:
    nodes = [
        call("MaxPool", ["x"], ["a"]),
        call("Split", ["a"], ["b", "c"], axis=2, split=[5, 5]),
        call("MaxPool", ["b"], ["d"]),
        call("MaxPool", ["c"], ["e"]),
        call("Concat", ["d", "e"], ["y"], axis=2),
    ]
    program = made(nodes, {"x": (1, 1, 10), "a": (1, 1, 10), **dict.fromkeys("bcde", (1, 1, 5)), "y": (1, 1, 10)})
    assert floor(program).activation_bytes == 40 + 20  # b, c and d; then c, d and e


def test_the_scores_of_attention_stream() -> None:
    nodes = [
        call("MatMul", ["q", "k"], ["dot"]),
        call("Mul", ["dot", "scale"], ["scores"]),
        call("Softmax", ["scores"], ["p"]),
        call("MatMul", ["p", "v"], ["y"]),
    ]
    square = dict.fromkeys(("dot", "scores", "p"), (100, 100))
    shapes = {"q": (100, 2), "k": (2, 100), "v": (100, 2), "y": (100, 2), "scale": (), **square}
    program = made(nodes, shapes, inputs=["q", "k", "v"], weights=["scale"])
    assert floor(program).activation_bytes == 4 * 100 * 2
    assert traffic(program).activation_bytes == 0
    seen = made(nodes, shapes, inputs=["q", "k", "v"], weights=["scale"], outputs=["y", "p"])
    assert floor(seen).activation_bytes == 4 * (100 * 100 + 100 * 2)


def test_the_floor_holds_weights_and_inputs_all_the_time() -> None:
    found = floor(specialise(from_proto(mlp(), "mlp"), batch=5).program)
    assert found.weight_bytes == 4 * (4 * 8 + 8 + 8 * 3 + 3)
    assert found.input_bytes == 4 * 5 * 4
    assert found.activation_bytes == 4 * 5 * (8 + 3)
    assert found.total_bytes == found.weight_bytes + found.input_bytes + found.activation_bytes
    assert found.at.startswith("Gemm")


def test_small_elements_count_packed() -> None:
    program = made([], {"x": (5,), "w": (5,)}, weights=["w"], outputs=[], dtype="int4")
    assert tensor_bytes(program, "w") == 3
    assert floor(program).total_bytes == 6


# Training ------------------------------------------------------------------------------------------------------------


def perceptron(batch: int, optimizer: Optimizer, between: str = "Relu") -> Program:
    """10 inputs, 20 hidden units, 5 scores, cross-entropy; no biases."""
    nodes = [
        call("MatMul", ["x", "w1"], ["h"]),
        call(between, ["h"], ["r"]),
        call("MatMul", ["r", "w2"], ["s"]),
        call("SoftmaxCrossEntropyLoss", ["s", "label"], ["loss"]),
    ]
    shapes = {"x": (batch, 10), "h": (batch, 20), "r": (batch, 20), "s": (batch, 5), "label": (batch,), "loss": ()}
    shapes |= {"w1": (10, 20), "w2": (20, 5)}
    return made(nodes, shapes, ["x", "label"], ["w1", "w2"], ["loss"], optimizer)


def kept_bytes(program: Program) -> int:
    flow = Dataflow(program)
    return saved(flow, Gradients(program)).total_bytes(flow)


def test_a_perceptron_keeps_hidden_units_and_scores() -> None:
    assert kept_bytes(perceptron(64, MOMENTUM)) == 4 * 64 * (20 + 5)


def test_gelu_keeps_its_input_beside_its_output() -> None:
    assert kept_bytes(perceptron(64, MOMENTUM, "Gelu")) == 4 * 64 * (20 + 20 + 5)


def test_the_moment_of_the_floor_is_found_by_hand() -> None:
    """Way back through the last product: hidden units, the scores' gradient, w2's gradient."""
    found = floor(perceptron(64, ADAM))
    weights = 4 * (10 * 20 + 20 * 5)
    assert (found.weight_bytes, found.gradient_bytes, found.optimizer_bytes) == (weights, weights, 2 * weights)
    assert found.total_bytes == 3 * weights + 4 * 64 * (10 + 1) + 4 * 64 * (20 + 5) + 4 * 20 * 5
    assert found.activation_bytes == 4 * 64 * (20 + 5) + 4  # and the loss; scores count once
    assert found.at == "backward of MatMul s"


def test_momentum_without_a_memory_needs_none() -> None:
    assert [states(Optimizer("Momentum", 0.1, {"alpha": alpha})) for alpha in (0.0, 0.9)] == [0, 1]
    assert floor(perceptron(4, Optimizer("Momentum", 0.1, {"alpha": 0.0}))).optimizer_bytes == 0


def test_a_frozen_first_layer_needs_nothing_on_the_way_back() -> None:
    program = perceptron(64, MOMENTUM)
    frozen = Program(**{**vars(program), "training": Training("loss", ("w2",), MOMENTUM)})
    assert floor(frozen).gradient_bytes == 4 * 20 * 5
    assert step_flops(program) - step_flops(frozen) > 2 * 64 * 10 * 20


def test_a_pool_keeps_the_place_of_the_largest_if_that_is_less() -> None:
    """2 bits for each window of 4; Relu a bit for each element."""
    nodes = [
        call("Conv", ["x", "w"], ["a"]),
        call("Relu", ["a"], ["b"]),
        call("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        call("ReduceMean", ["c"], ["y"]),
    ]
    shapes = {"x": (1, 1, 8, 8), "w": (1, 1, 1, 1), "a": (1, 1, 8, 8), "b": (1, 1, 8, 8), "c": (1, 1, 4, 4), "y": ()}
    program = made(nodes, shapes, weights=["w"], optimizer=MOMENTUM)
    assert kept_bytes(program) == 8 + 4


def test_a_normalisation_keeps_one_number_a_group_and_its_input_or_output() -> None:
    nodes = [
        call("Conv", ["x", "w"], ["a"]),
        call("BatchNormalization", ["a", "s", "b", "m", "v"], ["n", "m2", "v2"], training_mode=1),
        call("Relu", ["n"], ["r"]),
        call("Conv", ["r", "w"], ["c"]),
        call("ReduceMean", ["c"], ["y"]),
    ]
    image, channel = (2, 3, 8, 8), (3,)
    shapes = {"w": (3, 3, 1, 1), "y": (), **dict.fromkeys("xanrc", image)}
    shapes |= dict.fromkeys(("s", "b", "m", "v", "m2", "v2"), channel)
    program = made(nodes, shapes, weights=["w", "s", "b", "m", "v"], optimizer=MOMENTUM)
    size = 4 * 2 * 3 * 8 * 8
    assert kept_bytes(program) == 2 * size + 4 * 3  # r for the second Conv and for Relu; a (or n); deviations
    assert traffic(program).activation_bytes >= 2 * size  # statistics come before what they normalise


def test_a_recurrent_layer_keeps_gates_cells_and_states() -> None:
    steps, batch, width, hidden = 7, 2, 3, 5
    nodes = [
        call("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=hidden),
        call("ReduceMean", ["h"], ["y"]),
    ]
    shapes = {"x": (steps, batch, width), "w": (1, 4 * hidden, width), "r": (1, 4 * hidden, hidden)}
    shapes |= {"h": (1, batch, hidden), "y": ()}
    program = made(nodes, shapes, weights=["w", "r"], optimizer=MOMENTUM)
    assert kept_bytes(program) == 4 * steps * batch * hidden * 6
    forward = 2 * steps * batch * 4 * hidden * (width + hidden) + batch * hidden
    backward = 2 * steps * batch * 4 * hidden * (width + 2 * hidden) + batch * hidden
    assert step_flops(program) == forward + backward + 5 * 4 * hidden * (width + hidden)


def test_back_through_the_first_layer_goes_one_product_and_through_others_two() -> None:
    first, second = 2 * 64 * 10 * 20, 2 * 64 * 20 * 5
    relu, loss, update = 64 * 20, 5 * 64 * 5, 12 * (10 * 20 + 20 * 5)
    assert step_flops(perceptron(64, ADAM)) == 2 * first + 3 * second + 2 * (relu + loss) + update


# Traffic -------------------------------------------------------------------------------------------------------------


def test_chains_are_merged_into_their_maker_and_branches_are_not() -> None:
    assert traffic(chain("MaxPool", "Relu", "Exp")).total_bytes == 40 + 40
    assert traffic(chain("MaxPool", "Relu", "MaxPool")).total_bytes == 40 + 2 * 40 + 40
    nodes = [call("MaxPool", ["x"], ["a"]), call("Relu", ["a"], ["b"]), call("Add", ["a", "b"], ["y"])]
    assert traffic(made(nodes, dict.fromkeys("xaby", (1, 1, 10)))).total_bytes == 40 + 2 * 40 + 40


def test_of_a_table_only_the_rows_looked_up_are_read() -> None:
    program = made([call("Gather", ["w", "x"], ["y"])], {"x": (2,), "w": (1000, 8), "y": (2, 8)}, weights=["w"])
    assert traffic(program).weight_bytes == 4 * 2 * 8
    assert floor(program).weight_bytes == 4 * 1000 * 8


def test_a_step_moves_parameters_gradients_and_state() -> None:
    weights = 4 * (10 * 20 + 20 * 5)
    assert traffic(perceptron(64, ADAM)).weight_bytes == (1 + 2 + 2 + 2 * 2) * weights
    assert traffic(perceptron(64, MOMENTUM)).weight_bytes == (1 + 2 + 2 + 2) * weights


# What must always hold -----------------------------------------------------------------------------------------------

UNARY = ("Relu", "Gelu", "Reshape", "MaxPool", "Softmax", "Slice", "Unheard")
BINARY = ("Add", "Mul", "MatMul")


@st.composite
def programs(draw: st.DrawFn, operators: tuple[str, ...] = UNARY + BINARY) -> Any:
    """A function from batch to a Program: random operators on [batch, 4] tensors, all weights trained if it trains."""
    trains = draw(st.booleans())
    nodes, tensors = [call("MatMul", ["x", "w"], ["t0"])], ["x", "t0"]
    for number in range(1, draw(st.integers(1, 12))):
        op = draw(st.sampled_from(operators))
        count = 2 if op in BINARY else 1
        read = [draw(st.sampled_from(tensors)) for _ in range(count)]
        if op == "MatMul":
            read[1] = "w"
        nodes.append(call(op, read, [f"t{number}"], kernel_shape=[3]))
        tensors.append(f"t{number}")
    nodes.append(call("SoftmaxCrossEntropyLoss" if trains else "Exp", [tensors[-1]], ["y"]))

    def build(batch: int) -> Program:
        shapes = {**dict.fromkeys(tensors, (batch, 4)), "w": (4, 4), "y": () if trains else (batch, 4)}
        return made(nodes, shapes, weights=["w"], optimizer=MOMENTUM if trains else None)

    return build


def plain_peak(program: Program) -> int:
    """What the plainest forward pass needs: nothing in place, nothing merged, tensors freed after their last reader."""
    last = {name: number for number, one in enumerate(program.nodes) for name in (*one.outputs, *one.inputs)}
    kept = {tensor.name for tensor in program.outputs}
    alive: set[str] = set()
    peak = 0
    for number, one in enumerate(program.nodes):
        alive |= set(one.outputs)
        peak = max(peak, sum(tensor_bytes(program, name) for name in alive))
        alive = {name for name in alive if last[name] > number or name in kept}
    return peak


@settings(max_examples=150, deadline=None)
@given(programs(), st.integers(1, 50), st.integers(0, 50))
def test_the_floor_is_below_what_implementations_need_and_grows_with_the_batch(
    build: Any, batch: int, more: int
) -> None:
    program = build(batch)
    found, counted = floor(program), cost(program)
    plain = plain_peak(program) if program.training is None else counted.activation_bytes  # it keeps every tensor
    assert found.activation_bytes <= plain
    fixed = found.weight_bytes + found.input_bytes + found.optimizer_bytes
    assert fixed <= found.total_bytes <= fixed + 2 * counted.activation_bytes + found.gradient_bytes
    assert found.total_bytes <= floor(build(batch + more)).total_bytes
    assert traffic(program).total_bytes <= traffic(build(batch + more)).total_bytes
    assert traffic(program).total_bytes >= found.weight_bytes + found.input_bytes * ("x" in program.nodes[0].inputs)
    assert counted.step_flops >= counted.flops


@settings(max_examples=100, deadline=None)
@given(programs(("Relu", "Gelu", "MaxPool", "Softmax", *BINARY)), st.integers(1, 9))
def test_training_needs_no_less_than_what_it_keeps(build: Any, batch: int) -> None:
    program = build(batch)
    if program.training is not None:
        assert floor(program).activation_bytes >= kept_bytes(program)


@pytest.mark.parametrize("name", ["lenet5", "lstm", "resnet_cifar", "depthwise"])
def test_known_networks_have_a_floor_below_all_their_tensors(name: str, tmp_path: Any) -> None:
    source = zoo.path(name, tmp_path)
    for purpose in ("infer", "train"):
        program = specialise(load(source), purpose, 2).program
        found = cost(program)
        state = found.gradient_bytes + found.optimizer_bytes
        kept_by_cells = 4 * 32 * 2 * 128 * 6 if name == "lstm" else 0
        assert found.floor_bytes > found.weight_bytes + found.optimizer_bytes
        assert found.live_bytes <= found.activation_bytes + kept_by_cells
        assert found.floor_bytes <= found.weight_bytes + found.input_bytes + 2 * found.activation_bytes + state + (
            kept_by_cells
        )
        assert found.step_flops > 2.5 * found.flops if purpose == "train" else found.step_flops == found.flops


def test_the_cost_of_a_long_program_is_counted_in_time_linear_in_its_nodes() -> None:
    """One tensor that is read by every node would make a quadratic count take minutes."""
    nodes = [call("MatMul", ["x", "w"], ["t0"])]
    nodes += [call("Add", [f"t{number}", "t0"], [f"t{number + 1}"]) for number in range(20_000)]
    names = [name for one in nodes for name in one.outputs]
    program = made(nodes, {**dict.fromkeys(["x", *names], (1, 1)), "w": (1, 1)}, weights=["w"], outputs=[names[-1]])
    assert cost(program).live_bytes == 4  # each sum is merged into the next


def test_every_operator_that_is_told_apart_is_one_that_onnx_has() -> None:
    import onnx

    from harness.spec import backward

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    named = WHOLE | backward._PRODUCTS | backward._INPUT | backward._EITHER | backward._SIGNS | backward._LARGEST
    assert not named - known


def test_a_model_file_is_counted_like_a_program() -> None:
    weights = {"w": numpy.ones((4, 4), "f4")}
    proto = model([node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])], {"x": [2, 4]}, weights=weights)
    assert cost(specialise(from_proto(proto, "small")).program).floor_bytes == 4 * (16 + 8 + 8)
