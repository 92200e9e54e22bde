"""The zoo: every model is what its script says, trains, and is the same on every machine."""

from __future__ import annotations

import math
import os

import numpy
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness import zoo
from harness.errors import HarnessError
from harness.paths import MODELS
from harness.spec import training

#: Trained elements of each model, counted by hand from its layers.
PARAMETERS = {
    "depthwise": 73_130,
    "encoder": 3_449_866,
    "lenet5": 61_706,
    "lstm": 261_386,
    "mlp": 235_146,
    "resnet18": 11_689_512,
    "resnet_cifar": 272_474,
    "vgg16": 138_357_544,
}
#: What measures the machine and not a framework: one operator, nothing to train.
YARDSTICKS = {"gemm", "stream"}
COMMITTED = sorted({path.stem for path in MODELS.glob("*.onnx")} - YARDSTICKS)


@pytest.fixture(scope="module", params=sorted(PARAMETERS))
def model(request) -> ModelProto:
    return zoo.build(request.param)


def test_the_zoo_lists_every_model_with_a_title():
    assert zoo.names() == sorted(PARAMETERS.keys() | YARDSTICKS)
    assert all(zoo.describe(name) and "\n" not in zoo.describe(name) for name in zoo.names())


@pytest.mark.parametrize(("name", "operator"), [("stream", "Neg"), ("gemm", "MatMul")])
def test_a_yardstick_is_one_operator_and_trains_nothing(name, operator):
    built = zoo.build(name)
    onnx.checker.check_model(built)
    assert [node.op_type for node in built.graph.node] == [operator]
    assert training.read(built) is None


def test_a_model_is_valid_onnx_of_operator_set_21(model):
    onnx.checker.check_model(model)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 21
    assert model.ir_version == 10


def test_shapes_are_inferred_from_a_free_batch_to_the_logits(model):
    light = ModelProto()
    light.CopyFrom(training.strip(model))
    for tensor in light.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    floats = [tensor for tensor in light.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    for tensor in floats:
        light.graph.initializer.remove(tensor)
    (before,) = light.graph.output
    classes = before.type.tensor_type.shape.dim[1].dim_value
    before.type.tensor_type.ClearField("shape")
    (logits,) = onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True).graph.output
    assert logits.name == "logits"
    batch, inferred = logits.type.tensor_type.shape.dim
    assert not batch.HasField("dim_value")
    assert inferred.dim_value == classes
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_every_weight_is_trained(model):
    recipe = training.read(model)
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    assert sum(sizes[name] for name in recipe.parameters) == PARAMETERS[model.graph.name]
    left = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and t.dims}
    assert left - set(recipe.parameters) == set(recipe.updates), "only running statistics are left out"


def test_normalisation_trains_on_batch_statistics(model):
    recipe = training.read(model)
    forward, _ = training.forward(model, recipe)
    nodes = [node for node in forward.graph.node if node.op_type == "BatchNormalization"]
    assert len(recipe.updates) == 2 * len(nodes)
    assert all(any(a.name == "training_mode" and a.i == 1 for a in node.attribute) for node in nodes)


def test_the_zoo_uses_every_optimizer():
    used = set()
    for name in COMMITTED + ["encoder"]:
        optimizer = training.read(zoo.build(name)).optimizer
        used.add(optimizer.attributes.get("mode", optimizer.op))
    assert used == {"standard", "nesterov", "Adam", "Adagrad"}


@pytest.mark.parametrize("name", [*COMMITTED, "encoder"])
def test_the_first_loss_is_that_of_an_even_guess(name):
    model = zoo.build(name)
    forward, _ = training.forward(model, training.read(model))
    fed = model.graph.input[0].type.tensor_type
    shape = [2] + [d.dim_value for d in fed.shape.dim[1:]]
    random = numpy.random.default_rng(0)
    if fed.elem_type == TensorProto.FLOAT:
        x = random.standard_normal(shape, numpy.float32)
    else:
        x = random.integers(0, 1000, shape)
    feeds = {model.graph.input[0].name: x, "label": numpy.array([0, 1])}
    loss = ReferenceEvaluator(forward).run([forward.graph.output[0].name], feeds)[0]
    assert float(loss) == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.parametrize("name", [*COMMITTED, "stream"])
def test_a_committed_file_is_what_its_script_builds(name, tmp_path):
    zoo.save(zoo.build(name), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == (MODELS / f"{name}.onnx").read_bytes(), (
        "run `python models/build.py`"
    )


def test_small_models_are_committed_and_large_ones_are_not(model):
    assert (model.graph.name in COMMITTED) == (model.ByteSize() <= zoo.COMMITTED_BYTES)


def test_weights_have_the_deviation_that_was_asked_for():
    model = zoo.build("mlp")
    weight = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "hidden1.weight")
    assert weight.std() == pytest.approx(math.sqrt(2 / 784), rel=0.01)
    assert abs(weight.mean()) < 0.001


def test_weights_depend_on_their_own_name_only():
    mlp, lenet = (
        {t.name: numpy_helper.to_array(t) for t in zoo.build(name).graph.initializer} for name in ("mlp", "lenet5")
    )
    assert numpy.array_equal(mlp["classifier.weight"].ravel()[:840], lenet["classifier.weight"].ravel())


def test_a_committed_model_is_used_where_it_lies(tmp_path):
    assert zoo.path("mlp", tmp_path) == MODELS / "mlp.onnx"
    assert not list(tmp_path.iterdir())


def test_a_large_model_is_built_once(tmp_path, monkeypatch):
    first = zoo.path("encoder", tmp_path)
    assert training.read(onnx.load(first)) is not None
    monkeypatch.setattr(zoo, "build", lambda name: pytest.fail("built again"))
    assert zoo.path("encoder", tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.parent.name], "nothing half-written is left"


def test_a_very_large_model_keeps_its_weights_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "EXTERNAL_BYTES", 1_000_000)
    file = zoo.path("encoder", tmp_path)
    assert file.stat().st_size < 200_000
    assert sorted(path.name for path in file.parent.iterdir()) == ["encoder.onnx", "encoder.onnx.data"]
    read, built = (model.graph.initializer for model in (onnx.load(file), zoo.build("encoder")))
    assert [(t.name, t.dims, t.raw_data) for t in read] == [(t.name, t.dims, t.raw_data) for t in built]


def test_saving_twice_writes_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "EXTERNAL_BYTES", 100_000)
    sizes = []
    for _ in range(2):
        zoo.save(zoo.build("lenet5"), tmp_path / "lenet5.onnx")
        sizes.append([(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())])
    assert sizes[0] == sizes[1]


def test_an_unknown_model_is_named_with_the_closest_one(tmp_path):
    with pytest.raises(HarnessError, match="resnet81") as caught:
        zoo.path("resnet81", tmp_path)
    assert "resnet18" in caught.value.advice


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HarnessError, match=r"cannot be written to .*file") as caught:
        zoo.path("encoder", tmp_path / "file" / "models")
    assert os.linesep not in caught.value.what
