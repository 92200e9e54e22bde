"""A real framework with one fault planted at a time: the gate calls each of them wrong, and says what it is.

Only `--adapter torch-cpu` runs this: the faults are planted into the PyTorch adapter (tests/specimens/faulty).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import onnx
import pytest
from graphs import model, node

from harness.adapters import read_adapter
from harness.kit import Optimizer
from harness.live import LiveCell, Site, start
from harness.matrix import Cell, usable_cores
from harness.scenarios import infer, train
from harness.spec import prepare, training
from harness.spec.model import from_proto
from harness.spec.prepare import Workload

SPECIMENS = Path(__file__).parent.parent / "specimens"
TIMEOUT = 120.0
BATCH = 8

RECIPES = {
    "Momentum": Optimizer("Momentum", 0.1, {"alpha": 0.9}),
    "Adam": Optimizer("Adam", 0.01, {}),
    "Adagrad": Optimizer("Adagrad", 0.01, {}),
    "decay": Optimizer("Momentum", 0.1, {"alpha": 0.9, "norm_coefficient": 1e-4}),
}

Judge = Callable[..., LiveCell]


def small_net(recipe: Optimizer) -> onnx.ModelProto:
    """Convolution, BatchNormalization, a square layer and a classifier, with biases and statistics that matter."""
    generator = numpy.random.default_rng(0)

    def normal(*shape: int) -> numpy.ndarray:
        return (0.5 * generator.standard_normal(shape)).astype("f4")

    weights = {"conv.w": normal(4, 2, 3, 3), "conv.b": normal(4), "norm.scale": 1 + normal(4), "norm.b": normal(4)}
    weights |= {"norm.mean": normal(4), "norm.variance": 1 + normal(4) ** 2}
    weights |= {"square.w": normal(4, 4), "square.b": normal(4), "last.w": normal(4, 3), "last.b": normal(3)}
    nodes = [
        node("Conv", ["x", "conv.w", "conv.b"], ["c"]),
        node("BatchNormalization", ["c", "norm.scale", "norm.b", "norm.mean", "norm.variance"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "square.w", "square.b"], ["s"]),
        node("Tanh", ["s"], ["t"]),
        node("Gemm", ["t", "last.w", "last.b"], ["y"]),
    ]
    if recipe.attributes.get("norm_coefficient"):
        # Before BatchNormalization a bias has no gradient: decay alone would move it, and it would be what is named.
        nodes[0] = node("Conv", ["x", "conv.w"], ["c"])
        del weights["conv.b"]
    proto = model(nodes, {"x": ["batch", 2, 6, 6]}, weights=weights)
    return training.add(proto, "softmax-cross-entropy", recipe)


@pytest.fixture(scope="module")
def workloads() -> Callable[[str, str], Workload]:
    """A workload by the name of a model of the zoo or of an optimizer (the small net, trained by it), and purpose."""
    known: dict[tuple[str, str], Workload] = {}

    def find(name: str, purpose: str) -> Workload:
        if (name, purpose) not in known:
            source = from_proto(small_net(RECIPES[name]), name) if name in RECIPES else prepare.find(name)
            known[name, purpose] = Workload(source, purpose, 2 if name == "encoder" else BATCH, seed=0)
        return known[name, purpose]

    return find


@pytest.fixture(scope="module")
def judge(site_for, workloads, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Puts a fault before the gate. All share one worker, in PyTorch's environment."""
    scratch = tmp_path_factory.mktemp("faults")
    spec = read_adapter(SPECIMENS / "faulty")
    site = replace(site_for("train"), adapter=spec.name, folder=spec.folder)
    worker = start(site, scratch / "worker.log", usable_cores(), "cpu")
    worker.ask("hello", TIMEOUT)
    made: list[LiveCell] = []

    def gate(fault: str, name: str, scenario: str) -> LiveCell:
        assert fault in spec.modes
        workload, threads = workloads(name, scenario), usable_cores()
        cell = Cell(
            spec.name,
            "cpu",
            name,
            scenario,
            fault,
            "fp32",
            spec.layout,
            workload.batch or 1,
            threads,
            "device",
            scenario,
        )
        one = LiveCell(cell, Site(spec.name, spec.folder, site.environment, site.hello), workload, scratch, TIMEOUT)
        one.network, one.worker = len(made) + 1, worker
        made.append(one)
        one.bundle = workload.bundle(site.operators, cell.layout)
        options = {"mode": fault, "precision": "fp32", "threads": threads}
        one.ask("load", bundle=str(one.bundle.folder), device="cpu", options=options)
        judged = infer if scenario == "infer" else train
        judged.gate(one)
        judged.compare([one])
        one.object()
        one.ask("close")
        return one

    yield gate
    worker.end()


@pytest.mark.parametrize("name", ["Momentum", "encoder"])
def test_the_honest_adapter_infers_right(name: str, judge: Judge) -> None:
    one = judge("honest", name, "infer")
    assert one.well and not one.finding.reason


@pytest.mark.parametrize("name", [*RECIPES, "lstm"])
def test_the_honest_adapter_trains_right(name: str, judge: Judge) -> None:
    one = judge("honest", name, "train")
    assert one.well and not one.finding.reason
    assert one.finding.facts["gradient_error"] < 1e-5
    assert one.parameters_trained == one.workload.cost.parameters and len(one.curve) == 10


@pytest.mark.parametrize("fault", ["transposed-weight", "lower-precision", "dropout-on", "initial-statistics"])
def test_wrong_outputs(fault: str, judge: Judge) -> None:
    one = judge(fault, "Momentum", "infer")
    assert one.status == "wrong" and "output 'y' is off by" in one.finding.reason


@pytest.mark.parametrize("fault", ["transposed-weight", "running-statistics", "summed-loss", "dropout-on"])
def test_a_wrong_loss(fault: str, judge: Judge) -> None:
    one = judge(fault, "Momentum", "train")
    assert one.status == "wrong" and "the first loss is" in one.finding.reason


@pytest.mark.parametrize(
    ("fault", "name", "reason"),
    [
        ("scaled-bias-gradient", "Momentum", "most of it in 'square.b'"),
        ("scaled-bias-gradient", "Adam", "most of it in 'square.b'"),
        ("lower-precision", "lstm", "its gradients miss a slope"),
    ],
)
def test_wrong_gradients(fault: str, name: str, reason: str, judge: Judge) -> None:
    one = judge(fault, name, "train")
    assert one.status == "wrong" and reason in one.finding.reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing-bias-gradient", "it trains 115 of the model's 119 parameters: 'square.b' stays as it is"),
        ("unmoved-weight", "it trains 107 of the model's 119 parameters: 'last.w' stays as it is"),
    ],
)
def test_parameters_that_do_not_train(fault: str, reason: str, judge: Judge) -> None:
    one = judge(fault, "Momentum", "train")
    assert one.status == "wrong" and one.finding.reason == reason


def test_weights_that_are_silently_frozen(judge: Judge) -> None:
    """What onnx2torch does to a transformer: weights of MatMul and LayerNormalization are constants."""
    one = judge("frozen-weights", "encoder", "train")
    program = one.workload.program
    frozen = {n.inputs[1] for n in program.nodes if n.op in ("MatMul", "LayerNormalization")}
    frozen |= {n.inputs[2] for n in program.nodes if n.op == "LayerNormalization"}
    frozen &= set(program.training.parameters)
    total = one.workload.cost.parameters
    trained = total - sum(program.weights[name].size for name in frozen)
    assert one.status == "wrong" and one.parameters_trained == trained < total / 10
    assert one.finding.reason.startswith(f"it trains {trained:,} of the model's {total:,} parameters: 'layer1")


@pytest.mark.parametrize("name", ["Momentum", "Adam", "Adagrad"])
@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ("momentum-twice", ""),
        ("rate-after-step-1", ""),
        ("stale-weight", "'last.w'"),
        ("old-gradients", ""),
    ],
)
def test_steps_that_go_wrong_only_after_the_first(fault: str, where: str, name: str, judge: Judge) -> None:
    one = judge(fault, name, "train")
    assert one.status == "wrong"
    assert f"after step 2 {where}" in one.finding.reason and f"not where {RECIPES[name].op}" in one.finding.reason


def test_a_regularisation_that_is_left_out(judge: Judge) -> None:
    one = judge("no-regularisation", "decay", "train")
    assert one.status == "wrong" and "after step 1" in one.finding.reason


@pytest.mark.parametrize(
    ("fault", "statistic"),
    [("stale-statistics", "'norm.mean'"), ("unbiased-variance", "'norm.variance'")],
)
def test_running_statistics_that_are_wrong(fault: str, statistic: str, judge: Judge) -> None:
    one = judge(fault, "Momentum", "train")
    assert one.status == "wrong" and f"after one step {statistic} is off" in one.finding.reason
