"""The gate: what is wrong is called wrong, whatever it is that is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy
import onnx
import pytest
from graphs import mlp, model, node
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness import parity
from harness.kit import Optimizer, Program
from harness.parity import Finding, Walk
from harness.spec import inputs, optimizers, reference, slopes, training
from harness.spec.model import from_proto
from harness.spec.reference import Arrays, relative_error
from harness.spec.slopes import Surface
from harness.spec.specialise import specialise
from harness.spec.training_view import TRAINING_DOMAIN


@pytest.fixture(scope="module", params=["Momentum", "Adam", "Adagrad"])
def program(request: pytest.FixtureRequest) -> Program:
    recipe = Optimizer(request.param, 0.1, {})
    return specialise(from_proto(training.add(mlp(), "softmax-cross-entropy", recipe), "mlp"), "train", 6).program


def forward(program: Program, weights: Arrays, x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    hidden = x @ weights["w1"] + weights["b1"]
    logits = numpy.maximum(hidden, 0) @ weights["w2"] + weights["b2"]
    exponentials = numpy.exp(logits - logits.max(1, keepdims=True))
    return hidden, logits, exponentials / exponentials.sum(1, keepdims=True)


def gradients(program: Program, weights: Arrays, feeds: Arrays) -> Arrays:
    """The gradients of the two-layer net by hand."""
    labels = next(a for a in feeds.values() if a.dtype.kind == "i")
    x = feeds["x"]
    hidden, _, probabilities = forward(program, weights, x)
    upper = (probabilities - numpy.eye(3)[labels]) / len(x)
    lower = (upper @ weights["w2"].T) * (hidden > 0)
    return {"w1": x.T @ lower, "b1": lower.sum(0), "w2": numpy.maximum(hidden, 0).T @ upper, "b2": upper.sum(0)}


@pytest.fixture(scope="module")
def feeds(program: Program) -> Arrays:
    return inputs.make(program, 1)


@pytest.fixture(scope="module")
def nearby(program: Program, feeds: Arrays) -> Arrays:
    """Gradients at the nudged weights."""
    return gradients(program, slopes.nudged(program, 0), feeds)


def surface(program: Program, feeds: Arrays, given: Arrays) -> Surface:
    at = reference.evaluate(slopes.near(program, 0), feeds)
    loss = float(at.outputs[program.training.loss].reshape(()))
    return Surface(program, feeds, 0, loss, slopes.magnitudes(program, given))


def gradients_finding(program: Program, feeds: Arrays, given: Arrays) -> Finding:
    finding, over = Finding(), surface(program, feeds, given)
    parity.check_gradients(finding, program, given, over.slopes(), lambda slope: over.culprit(slope, given))
    return finding


def steps(program: Program, feeds: Arrays, recipe: Optimizer | None = None, count: int = 3) -> Walk:
    """Steps as an adapter makes them, in float32, by the given recipe or the program's own."""
    recipe = recipe or program.training.optimizer
    weights = [slopes.nudged(program, 0)]
    given: list[Arrays] = []
    state = {name: optimizers.zero_state(recipe, array) for name, array in weights[0].items()}
    for made in range(count):
        given.append(gradients(program, weights[-1], feeds))
        after = {}
        for name, before in weights[-1].items():
            exact = numpy.asarray(before, "f8")
            moved, state[name] = optimizers.step(recipe, made, exact, given[-1][name], state[name])
            after[name] = moved.astype("f4")
        weights.append(after)
    return Walk(weights, given)


def steps_finding(program: Program, walk: Walk) -> Finding:
    finding = Finding()
    parity.check_steps(finding, program, walk)
    return finding


def test_right_gradients_and_right_steps_pass(program: Program, feeds: Arrays, nearby: Arrays) -> None:
    found = gradients_finding(program, feeds, nearby)
    assert not found.reason and found.facts["gradient_error"] < 1e-6
    walk = steps(program, feeds)
    assert not steps_finding(program, walk).reason
    assert parity.check_trained(Finding(), program, walk) == 4 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (lambda g: {**g, "b1": 0 * g["b1"]}, "most of it in 'b1'"),
        (lambda g: {**g, "w1": g["w1"][::-1]}, "most of it in 'w1'"),
        (lambda g: {**g, "w2": 1.0005 * g["w2"]}, "most of it in 'w2'"),
        (lambda g: {name: -a for name, a in g.items()}, "a slope of the loss"),
        (lambda g: {name: a for name, a in g.items() if name != "b2"}, "no gradient of 'b2'"),
        (lambda g: {**g, "w2": g["w2"].T}, "the gradient of 'w2' has the shape [3, 8]"),
        (lambda g: {**g, "b2": g["b2"] * numpy.nan}, "the gradient of 'b2' is not finite"),
    ],
    ids=[
        "a missing bias gradient",
        "shuffled",
        "a wrong scale",
        "a wrong sign",
        "left out",
        "transposed",
        "not finite",
    ],
)
def test_wrong_gradients_are_told_and_their_parameter_is_named(
    program: Program, feeds: Arrays, nearby: Arrays, fault, where: str
) -> None:
    assert where in gradients_finding(program, feeds, fault(nearby)).reason


def test_the_culprit_s_slope_is_said_and_measured(program: Program, feeds: Arrays, nearby: Arrays) -> None:
    fault = {**nearby, "b1": 0.5 * nearby["b1"]}
    over = surface(program, feeds, fault)
    culprit = over.culprit(over.slopes()[1], fault)
    assert culprit.name == "b1" and culprit.says == pytest.approx(0.5 * culprit.measured, rel=1e-4)


def test_a_parameter_of_little_weight_is_held_to_the_same_standard() -> None:
    """Scaling one layer up and the next one down changes nothing but how steep the loss is in each."""
    uneven, factors = mlp(), {"w1": 30, "w2": 1 / 30}
    for tensor in uneven.graph.initializer:
        if tensor.name in factors:
            scaled = numpy_helper.to_array(tensor) * numpy.float32(factors[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    recipe = Optimizer("Momentum", 1e-3, {})
    program = specialise(from_proto(training.add(uneven, "softmax-cross-entropy", recipe), "mlp"), "train", 6).program
    feeds = inputs.make(program, 1)
    right = gradients(program, slopes.nudged(program, 0), feeds)
    assert not gradients_finding(program, feeds, right).reason
    assert "'w1'" in gradients_finding(program, feeds, {**right, "w1": 0.9 * right["w1"]}).reason


def test_parameters_that_do_not_change_are_counted_and_named(program: Program, feeds: Arrays) -> None:
    walk = steps(program, feeds)
    for array in walk.weights[1:]:
        array["w2"] = walk.weights[0]["w2"]
    finding = Finding()
    assert parity.check_trained(finding, program, walk) == 4 * 8 + 8 + 3
    assert finding.reason == "it trains 43 of the model's 67 parameters: 'w2' stays as it is"


@pytest.mark.parametrize("claim", ["zero", "none"])
def test_frozen_parameters_are_told_whatever_their_gradient_claims(program: Program, feeds: Arrays, claim: str) -> None:
    walk = steps(program, feeds)
    for array in walk.weights[1:]:
        array["w1"] = walk.weights[0]["w1"]
    for given in walk.gradients:
        given["w1"] = 0 * given["w1"]
        if claim == "none":
            del given["w1"]
    finding = Finding()
    level = surface(program, feeds, walk.gradients[0]).level
    assert parity.check_trained(finding, program, walk, level) == 67 - 32
    assert "35 of the model's 67 parameters: 'w1'" in finding.reason


def test_a_parameter_that_the_loss_does_not_depend_on_may_stay(program: Program, feeds: Arrays) -> None:
    walk = steps(program, feeds)
    for array in walk.weights[1:]:
        array["b2"] = walk.weights[0]["b2"]
    for given in walk.gradients:
        given["b2"] = 0 * given["b2"]
    finding = Finding()
    assert parity.check_trained(finding, program, walk, lambda names: True) == 67 - 3
    assert not finding.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, learning_rate=1.0001 * r.learning_rate),
        lambda r: replace(r, attributes={**r.attributes, "norm_coefficient": 1e-4}),
        lambda r: replace(r, step=1),
    ],
    ids=["another rate", "a regularisation that is not there", "another count of steps"],
)
def test_another_recipe_is_wrong(program: Program, feeds: Arrays, change) -> None:
    recipe = program.training.optimizer
    if recipe.op == "Momentum":
        recipe = replace(recipe, attributes={**recipe.attributes, "beta": 0.9})
    elif recipe.op == "Adagrad":
        recipe = replace(recipe, attributes={**recipe.attributes, "decay_factor": 0.1})
    program = replace(program, training=replace(program.training, optimizer=recipe))
    assert not steps_finding(program, steps(program, feeds)).reason
    assert f"not where {recipe.op} puts it" in steps_finding(program, steps(program, feeds, change(recipe))).reason


def test_a_fault_from_the_second_step_on_is_wrong(program: Program, feeds: Arrays) -> None:
    walk = steps(program, feeds)
    for name, array in walk.weights[2].items():
        walk.weights[2][name] = array + numpy.float32(0.01) * (array - walk.weights[1][name])
    assert "after step 2" in steps_finding(program, walk).reason


@pytest.mark.parametrize("op", sorted(optimizers.KINDS))
@pytest.mark.parametrize("mode", optimizers.MODES)
@pytest.mark.parametrize("made", [0, 1, 5])
def test_the_formulas_are_those_of_onnx_reference(op: str, mode: str, made: int) -> None:
    generator = numpy.random.default_rng(made)
    kind = optimizers.KINDS[op]
    given: dict[str, object] = {"alpha": 0.75, "beta": 0.875, "norm_coefficient": 0.125, "mode": mode}
    given |= {"norm_coefficient_post": 0.0625, "epsilon": 0.015625, "decay_factor": 0.25}
    recipe = Optimizer(op, 0.1, {name: given[name] for name in kind.attributes})
    arrays = [generator.standard_normal(7) for _ in range(2 + len(kind.states))]
    arrays[2:] = [numpy.square(array) for array in arrays[2:]]
    names = ["R", "T", "X", "G", *kind.states]
    graph = helper.make_graph(
        [
            helper.make_node(
                op, names, ["x", *map("new_{}".format, kind.states)], domain=TRAINING_DOMAIN, **recipe.attributes
            )
        ],
        "step",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names],
        [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)
            for name in ("x", *map("new_{}".format, kind.states))
        ],
    )
    opset = [helper.make_opsetid("", 21), helper.make_opsetid(TRAINING_DOMAIN, 1)]
    evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=opset))
    feeds = dict(zip(names, [numpy.float64(0.1), numpy.int64(made), *arrays], strict=True))
    right, *kept = evaluator.run(None, feeds)
    found, state = optimizers.step(recipe, made, arrays[0], arrays[1], tuple(arrays[2:]))
    for ours, theirs in zip((found, *state), (right, *kept), strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_running_statistics_are_held_against_the_reference() -> None:
    program = specialise(from_proto(normalized(), "normalized"), "train", 6).program
    at = reference.evaluate(program, inputs.make(program, 1))
    right = {name: at.outputs[source] for name, source in program.training.updates.items()}
    good, stale, lost = Finding(), Finding(), Finding()
    parity.check_updates(good, program, right, at)
    parity.check_updates(stale, program, {**right, "variance": program.weights["variance"]}, at)
    parity.check_updates(lost, program, {"variance": right["variance"]}, at)
    assert not good.reason and "'variance' is off" in stale.reason and "'mean' is off by inf" in lost.reason


def normalized() -> onnx.ModelProto:
    ones, zeros = numpy.ones(4, "f4"), numpy.zeros(4, "f4")
    weights = {"scale": ones, "bias": zeros, "mean": zeros, "variance": ones, "w": numpy.eye(4, 3, dtype="f4")}
    names = ["x", "scale", "bias", "mean", "variance"]
    nodes = [node("BatchNormalization", names, ["n"]), node("MatMul", ["n", "w"], ["y"])]
    return training.add(
        model(nodes, {"x": ["batch", 4]}, weights=weights), "softmax-cross-entropy", Optimizer("Momentum", 0.1, {})
    )


def test_outputs_within_rounding_pass_and_others_do_not() -> None:
    right = reference.Reference({"y": numpy.array([1.0, -2.0])}, {"y": 1e-7})
    close, far, missing, broken = Finding(), Finding(), Finding(), Finding()
    parity.check_outputs(close, {"y": numpy.array([1.00001, -2.0])}, right)
    parity.check_outputs(far, {"y": numpy.array([1.01, -2.0])}, right)
    parity.check_outputs(missing, {}, right)
    parity.check_outputs(broken, {"y": numpy.array([numpy.nan, -2.0])}, right)
    assert not close.reason
    assert "'y' is off by 0.005" in far.reason and far.max_relative_error == pytest.approx(0.005)
    assert "missing" in missing.reason
    assert "inf" in broken.reason


def test_the_tolerance_grows_with_the_rounding_of_the_model() -> None:
    rough = reference.Reference({"y": numpy.array([1.0])}, {"y": 1e-5})
    finding = Finding()
    parity.check_outputs(finding, {"y": numpy.array([1.0003])}, rough)
    assert not finding.reason


def test_a_curve_that_leaves_the_others_is_wrong_and_the_others_are_not() -> None:
    curves = {"a": [2.0, 1.5, 1.2], "b": [2.0, 1.50001, 1.2], "c": [2.0, 1.5002, 1.3]}
    findings = {name: Finding() for name in curves}
    parity.check_curves(findings, curves, 1e-7)
    assert not findings["a"].reason and not findings["b"].reason
    assert "step 2" in findings["c"].reason


def test_a_loss_that_has_nearly_vanished_keeps_the_rounding_of_the_first() -> None:
    """Cross-entropy near zero is a difference of numbers that are not: float32 does not know its last digits."""
    curves = {"a": [2.0, 1e-2, 1.0e-4], "b": [2.0, 1e-2, 1.1e-4], "c": [2.0, 1.1e-2, 1.0e-4]}
    findings = {name: Finding() for name in curves}
    parity.check_curves(findings, curves, 1e-7)
    assert not findings["a"].reason and not findings["b"].reason
    assert "step 2" in findings["c"].reason


def test_relative_error_knows_infinities_and_shapes() -> None:
    assert relative_error(numpy.array([numpy.inf, 1.0]), numpy.array([numpy.inf, 1.0])) == 0
    assert relative_error(numpy.array([1.0, 1.0]), numpy.array([numpy.inf, 1.0])) == numpy.inf
    assert relative_error(numpy.zeros(3), numpy.zeros(2)) == numpy.inf
    assert relative_error(numpy.zeros((0,)), numpy.zeros((0,))) == 0
