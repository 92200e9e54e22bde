"""Files that are missing, broken or hostile: one clear error that says what and where."""

from __future__ import annotations

from pathlib import Path

import numpy
import onnx
import pytest
from graphs import mlp, model, node
from onnx import TensorProto, helper, numpy_helper

from harness.errors import HarnessError
from harness.spec import model as models
from harness.spec.specialise import specialise


def saved(proto: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(HarnessError) as error:
        models.load(path)
    return str(error.value)


def test_a_sound_file_keeps_its_weights_apart_from_its_graph(tmp_path: Path) -> None:
    big = numpy.arange(1024, dtype=numpy.float32).reshape(32, 32)
    path = saved(model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 32]}, weights={"w": big}), tmp_path)
    loaded = models.load(path)
    numpy.testing.assert_array_equal(loaded.weights["w"], big)
    assert loaded.proto.ByteSize() < 1000
    assert len(loaded.sha256) == 64
    full = models.with_weights(loaded.proto, loaded.weights)
    numpy.testing.assert_array_equal(numpy_helper.to_array(full.graph.initializer[0]), big)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.onnx")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an onnx file", b"\x08\x07" + b"\xff" * 50])
def test_rubbish_is_not_an_onnx_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "not an ONNX file" in refusal(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(mlp(), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert str(path) in refusal(path)


def test_a_cycle_is_named_by_a_node_on_it(tmp_path: Path) -> None:
    loop = [node("Add", ["x", "b"], ["a"], name="first"), node("Relu", ["a"], ["b"], name="second")]
    message = refusal(saved(model(loop, {"x": [2]}, outputs=["b"]), tmp_path))
    assert "cycle" in message and ("first" in message or "second" in message)


def test_nodes_in_a_wrong_order_are_sorted(tmp_path: Path) -> None:
    swapped = [node("Relu", ["a"], ["y"]), node("Neg", ["x"], ["a"])]
    loaded = models.load(saved(model(swapped, {"x": [2]}), tmp_path))
    assert [n.op_type for n in loaded.proto.graph.node] == ["Neg", "Relu"]


def test_a_tensor_with_too_few_bytes_is_named(tmp_path: Path) -> None:
    proto = mlp()
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    message = refusal(saved(proto, tmp_path))
    assert "'w1'" in message and "128 bytes" in message and "124" in message


@pytest.mark.parametrize("dims", [[-4, 8], [2**31, 2**31]])
def test_senseless_shapes_are_refused(dims: list[int], tmp_path: Path) -> None:
    proto = mlp()
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    assert "'w1'" in refusal(saved(proto, tmp_path))


def test_an_unknown_element_type_is_refused(tmp_path: Path) -> None:
    proto = mlp()
    proto.graph.initializer[0].data_type = 99
    assert "element type 99" in refusal(saved(proto, tmp_path))


def external(proto: onnx.ModelProto, **facts: str) -> onnx.ModelProto:
    """The model with its first initializer in an external file."""
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=value)
    return proto


def test_external_data_are_mapped_and_hashed(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\0" * 64 + numpy.arange(32, dtype=numpy.float32).tobytes())
    path = saved(external(mlp(), location="weights", offset="64", length="128"), tmp_path)
    first = models.load(path)
    assert isinstance(first.weights["w1"], numpy.memmap)
    numpy.testing.assert_array_equal(first.weights["w1"].reshape(-1), numpy.arange(32))
    (tmp_path / "weights").write_bytes(b"\0" * 64 + numpy.ones(32, dtype=numpy.float32).tobytes())
    assert models.load(path).sha256 != first.sha256


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "link"])
def test_external_data_outside_the_models_folder_are_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 128)
    (folder / "link").symlink_to(tmp_path / "secret")
    assert "outside the model's folder" in refusal(saved(external(mlp(), location=location), folder))


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"location": "absent"}, "missing"),
        ({"location": "short"}, "truncated"),
        ({"location": "short", "offset": "-8"}, "needs 128 bytes"),
        ({"location": "short", "length": "many"}, "must be numbers"),
    ],
)
def test_external_data_that_cannot_be_right_are_refused(facts, complaint, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"\0" * 100)
    assert complaint in refusal(saved(external(mlp(), **facts), tmp_path))


def test_too_many_nodes_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_NODES", 100)
    chain = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(101)]
    assert "more than 100 nodes" in refusal(saved(model(chain, {"t0": [1]}, outputs=["t101"]), tmp_path))


def test_a_graph_nested_too_deep_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph([node("Identity", ["x"], ["y0"])], "b", [], [helper.make_empty_tensor_value_info("y0")])
    for depth in range(1, 20):
        inner = node("If", ["c"], [f"y{depth}"], then_branch=body, else_branch=body)
        body = helper.make_graph([inner], "b", [], [helper.make_empty_tensor_value_info(f"y{depth}")])
    proto = mlp()
    proto.graph.node.extend(body.node)
    assert "nested" in refusal(saved(proto, tmp_path))


def test_what_onnx_itself_calls_invalid_is_refused_with_its_words(tmp_path: Path) -> None:
    message = refusal(saved(model([node("Relu", ["x"], ["y"], size=3)], {"x": [1]}), tmp_path))
    assert "not a valid ONNX model" in message and "size" in message


def test_sparse_initializers_become_dense(tmp_path: Path) -> None:
    proto = model([node("Add", ["x", "s"], ["y"])], {"x": [4]})
    values = numpy_helper.from_array(numpy.array([5.0], numpy.float32), "s")
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(numpy.array([2], numpy.int64), "i"), [4])
    )
    loaded = models.load(saved(proto, tmp_path))
    numpy.testing.assert_array_equal(numpy_helper.to_array(loaded.proto.graph.initializer[0]), [0, 0, 5, 0])


def switched() -> onnx.ModelProto:
    """x or -x, as the input `sign` says."""

    def branch(op: str, name: str) -> onnx.GraphProto:
        return helper.make_graph([node(op, ["x"], [name])], name, [], [helper.make_empty_tensor_value_info(name)])

    positive = node("Greater", ["sign", "zero"], ["positive"])
    choose = node("If", ["positive"], ["y"], then_branch=branch("Identity", "a"), else_branch=branch("Neg", "b"))
    zero = {"zero": numpy.array(0, numpy.int64)}
    return model([positive, choose], {"x": [3], "sign": []}, weights=zero, integers=["sign"])


def test_an_input_that_is_a_setting_becomes_a_constant_by_its_value(tmp_path: Path) -> None:
    loaded = models.load(saved(switched(), tmp_path))
    with pytest.raises(HarnessError, match="--value"):
        specialise(loaded)
    fixed = models.with_fixed_inputs(loaded, {"sign": -1})
    assert [node.op for node in specialise(fixed).program.nodes] == ["Neg"]
    assert fixed.sha256 != loaded.sha256


def test_a_setting_that_is_no_input_or_no_number_is_refused(tmp_path: Path) -> None:
    loaded = models.load(saved(switched(), tmp_path))
    with pytest.raises(HarnessError, match="sing"):
        models.with_fixed_inputs(loaded, {"sing": 1})
    with pytest.raises(HarnessError, match="not one number"):
        models.with_fixed_inputs(loaded, {"x": 1})
