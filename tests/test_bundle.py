"""Bundles, inputs, costs: what a worker gets is what the controller made, and it says what it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import onnx
import pytest
from graphs import mlp, model, node
from onnx.reference import ReferenceEvaluator

from harness import zoo
from harness.kit import Optimizer, program
from harness.spec import bundle, inputs, layout, training
from harness.spec import model as models
from harness.spec.cost import cost
from harness.spec.model import from_proto
from harness.spec.prepare import Workload
from harness.spec.specialise import specialise


def small(name: str, purpose: str, batch: int = 2):
    return specialise(models.load(zoo.path(name, Path())), purpose, batch).program


@pytest.mark.parametrize("purpose", ["infer", "train"])
@pytest.mark.parametrize("name", ["mlp", "lenet5", "lstm", "resnet_cifar"])
def test_a_program_read_from_a_bundle_is_the_one_that_was_written(name: str, purpose: str, tmp_path: Path) -> None:
    made = small(name, purpose)
    read = program.read_program(str(bundle.write(made, tmp_path / "bundle")))
    assert read.nodes == made.nodes or [n.op for n in read.nodes] == [n.op for n in made.nodes]
    assert read.tensors == made.tensors and read.training == made.training
    assert read.inputs == made.inputs and read.outputs == made.outputs and read.initializers == made.initializers
    for tensor, array in made.weights.items():
        numpy.testing.assert_array_equal(read.weights[tensor], array)


def test_a_channels_last_bundle_keeps_onnx_weights_and_turns_them_when_it_is_read(tmp_path: Path) -> None:
    made = small("lenet5", "infer")
    planned = layout.channels_last(made)
    read = program.read_program(str(bundle.write(made, tmp_path / "bundle", planned)))
    turned = [tensor for tensor in read.initializers if tensor.permutation is not None]
    assert turned
    for tensor in turned:
        numpy.testing.assert_array_equal(tensor.to_onnx(read.weights[tensor.name]), made.weights[tensor.name])


def test_bundles_of_one_model_share_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    source = models.load(zoo.path("lenet5", Path()))
    first, other, trained = (Workload(source, *wanted, 0) for wanted in (("infer", 1), ("infer", 3), ("train", 3)))
    wanted = ("channels-first", "channels-last")
    found = {(made, layout): made.bundle(None, layout) for made in (first, other, trained) for layout in wanted}
    assert len({bundle.folder for bundle in found.values()}) == 6
    assert len([*tmp_path.rglob("weights.bin")]) == 1
    for (made, _), written in found.items():
        read = program.read_program(str(written.folder))
        assert [tensor.shape[0] for tensor in read.inputs] == [made.batch] * len(read.inputs)
        for tensor in read.initializers:
            right = made.program.weights[tensor.name]
            numpy.testing.assert_array_equal(tensor.to_onnx(read.weights[tensor.name]), right)
        onnx.checker.check_model(onnx.load(read.onnx_path()))


def test_bundles_of_other_precision_or_of_other_weights_share_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    workload = Workload(models.load(zoo.path("lenet5", Path())), "infer", 1, 0)
    workload.bundle(None, "channels-first")
    workload.bundle(None, "channels-first", "bf16")
    proto = onnx.load(zoo.path("lenet5", Path()))
    del proto.training_info[:]
    Workload(from_proto(proto, "lenet5"), "infer", 1, 0).bundle(None, "channels-first")
    assert len([*tmp_path.rglob("weights.bin")]) == 3


@pytest.mark.parametrize("name", ["mlp", "lenet5", "depthwise"])
def test_the_onnx_file_in_a_bundle_gives_the_same_answers_as_the_model(name: str, tmp_path: Path) -> None:
    made = small(name, "infer")
    folder = bundle.write(made, tmp_path / "bundle")
    inside = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(inside)
    feeds = inputs.make(made, 0)
    (expected,) = ReferenceEvaluator(onnx.load(zoo.path(name, Path()))).run(["logits"], feeds)
    (found,) = ReferenceEvaluator(inside).run(["logits"], feeds)
    numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_bundle_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = bundle.write(small("mlp", "infer"), tmp_path / "bundle")
    text = (folder / "program.json").read_text()
    (folder / "program.json").write_text(text.replace(f'"format": {bundle.FORMAT}', '"format": 99'))
    with pytest.raises(ValueError, match="format 99"):
        program.read_program(str(folder))


def test_a_bundle_that_is_too_short_for_its_weights_is_refused(tmp_path: Path) -> None:
    folder = bundle.write(small("mlp", "infer"), tmp_path / "bundle")
    (folder / "weights.bin").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="past the end"):
        program.read_program(str(folder))


def test_inputs_are_the_same_for_the_same_seed_and_lie_in_their_range() -> None:
    learning = small("lstm", "train", batch=16)
    first, again, other = inputs.make(learning, 0), inputs.make(learning, 0), inputs.make(learning, 1)
    for name, array in first.items():
        numpy.testing.assert_array_equal(array, again[name])
        assert not (array == other[name]).all()
    assert first["tokens"].max() > 500 and first["tokens"].max() < 1000
    labels = next(array for name, array in first.items() if name != "tokens")
    assert labels.min() >= 0 and 2 < labels.max() < 10


def test_costs_are_counted_from_shapes() -> None:
    found = cost(specialise(from_proto(mlp(), "mlp"), batch=5).program)
    assert found.parameters == 4 * 8 + 8 + 8 * 3 + 3
    assert found.flops == 2 * 5 * (4 * 8 + 8 * 3) + 5 * 8
    assert found.weight_bytes == 4 * found.parameters
    assert found.activation_bytes == 4 * 5 * (8 + 8 + 3)


def test_a_grouped_convolution_counts_only_its_own_channels() -> None:
    weights = {"w": numpy.ones((8, 1, 3, 3), "f4")}
    proto = model([node("Conv", ["x", "w"], ["y"], group=8)], {"x": [1, 8, 5, 5]}, weights=weights)
    assert cost(specialise(from_proto(proto, "conv")).program).flops == 2 * 8 * 3 * 3 * 9


def test_known_networks_cost_what_their_papers_say() -> None:
    assert cost(small("lenet5", "train")).parameters == 61_706
    assert cost(small("resnet_cifar", "train", 1)).flops == pytest.approx(2 * 40.5e6, rel=0.05)


def test_a_workload_is_made_once_and_kept(home: Path) -> None:
    trained = training.add(mlp(), "softmax-cross-entropy", Optimizer("Momentum", 0.1, {}))
    workload = Workload(from_proto(trained, "mlp"), "train", 4, seed=0)
    first, again = workload.bundle(None, "channels-first"), workload.bundle(None, "channels-first")
    assert first.folder == again.folder and workload.inputs() == workload.inputs()
    assert workload.reference().rounding.keys() == workload.reference().outputs.keys()
    gradients = dict(workload.program.weights)
    values = [slope.value for slope in workload.slopes(gradients)]
    assert values == [slope.value for slope in workload.slopes(gradients)] and len(values) == 3
    other = Workload(from_proto(trained, "mlp"), "train", 4, seed=1)
    assert other.inputs() != workload.inputs()


def test_an_adapter_that_lacks_an_operator_gets_a_bundle_of_its_own(home: Path) -> None:
    proto = model([node("Gelu", ["x"], ["y"])], {"x": ["batch", 3]})
    workload = Workload(from_proto(proto, "gelu"), "infer", 2, seed=0)
    native = workload.bundle({"Gelu"}, "channels-first")
    composed = workload.bundle({"Mul", "Add", "Div", "Erf", "Sqrt", "Pow", "Tanh"}, "channels-first")
    assert native.folder != composed.folder and composed.rewritten == {"Gelu": "function body"}
    assert workload.bundle({"*"}, "channels-first").folder == native.folder
    assert replace(native, folder=composed.folder) != composed
