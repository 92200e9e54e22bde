"""The gate: what is wrong is called wrong, whatever it is that is wrong."""

from __future__ import annotations

import numpy
import pytest
from graphs import mlp

from harness import parity
from harness.kit import Optimizer, Program
from harness.parity import Finding
from harness.spec import inputs, reference, training
from harness.spec.model import from_proto
from harness.spec.optimizers import first_step
from harness.spec.reference import Arrays, relative_error
from harness.spec.specialise import specialise


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


def after(program: Program, given: Arrays) -> Arrays:
    assert program.training is not None
    return {
        name: first_step(program.training.optimizer, numpy.asarray(program.weights[name], "f8"), given[name]).astype(
            "f4"
        )
        for name in given
    }


def step_finding(program: Program, given: Arrays, reached: Arrays) -> Finding:
    finding = Finding()
    finding.facts["trained"] = parity.check_first_step(finding, program, given, reached)
    return finding


def test_right_gradients_and_a_right_step_pass(program: Program, feeds: Arrays) -> None:
    finding = Finding()
    nearby = gradients(program, reference.nudged(program, 0), feeds)
    parity.check_gradients(finding, nearby, reference.slopes(program, feeds, 2, 0))
    assert not finding.reason and finding.facts["gradient_error"] < 1e-4
    here = gradients(program, program.weights, feeds)
    step = step_finding(program, here, after(program, here))
    assert not step.reason and step.facts["trained"] == 4 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize(
    "fault",
    [
        lambda g: {**g, "b1": 0 * g["b1"]},
        lambda g: {**g, "w1": g["w1"][::-1]},
        lambda g: {name: 1.05 * a for name, a in g.items()},
        lambda g: {name: a for name, a in g.items() if name != "b2"},
        lambda g: {name: -a for name, a in g.items()},
    ],
    ids=["a missing bias gradient", "a shuffled weight", "a wrong scale", "a parameter left out", "a wrong sign"],
)
def test_wrong_gradients_miss_the_measured_slope(program: Program, feeds: Arrays, fault) -> None:
    finding = Finding()
    nearby = fault(gradients(program, reference.nudged(program, 0), feeds))
    parity.check_gradients(finding, nearby, reference.slopes(program, feeds, 2, 0))
    assert "slope" in finding.reason


def test_a_parameter_that_does_not_move_is_named(program: Program, feeds: Arrays) -> None:
    here = gradients(program, program.weights, feeds)
    stale = {**after(program, here), "w2": numpy.asarray(program.weights["w2"])}
    assert "'w2' did not change" in step_finding(program, here, stale).reason


def test_a_step_applied_twice_is_wrong(program: Program, feeds: Arrays) -> None:
    here = gradients(program, program.weights, feeds)
    once = after(program, here)
    twice = {name: 2 * once[name] - numpy.asarray(program.weights[name]) for name in once}
    assert "after one step" in step_finding(program, here, twice).reason


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
    curves = {"a": [2.0, 1.5, 1.2], "b": [2.0, 1.50001, 1.2], "c": [2.0, 1.6, 1.3]}
    findings = {name: Finding() for name in curves}
    parity.check_curves(findings, curves)
    assert not findings["a"].reason and not findings["b"].reason
    assert "step 2" in findings["c"].reason


def test_relative_error_knows_infinities_and_shapes() -> None:
    assert relative_error(numpy.array([numpy.inf, 1.0]), numpy.array([numpy.inf, 1.0])) == 0
    assert relative_error(numpy.array([1.0, 1.0]), numpy.array([numpy.inf, 1.0])) == numpy.inf
    assert relative_error(numpy.zeros(3), numpy.zeros(2)) == numpy.inf
    assert relative_error(numpy.zeros((0,)), numpy.zeros((0,))) == 0
