"""Element types that numpy lacks: one name for each, and the same values after a bundle or an array file."""

from __future__ import annotations

from pathlib import Path

import numpy
import onnx
import pytest
from graphs import node
from onnx import TensorProto, helper, numpy_helper

from harness.kit import arrays, program
from harness.spec import bundle, elements
from harness.spec.model import from_proto
from harness.spec.specialise import UnsupportedModel, specialise

LACKING = sorted(arrays.CARRIERS)


def values(name: str) -> numpy.ndarray:
    numbers = [1, 0.5, 2, 1] if name in ("uint4", "uint2", "float8e8m0") else [-1, 1, 0, -1]
    return numpy.array(numbers, "f4").astype(helper.tensor_dtype_to_np_dtype(elements.number_of(name)))


@pytest.mark.parametrize("name", [*LACKING, "float16", "float32", "float64", "int8", "uint64", "bool", "complex64"])
def test_arrays_and_onnx_types_have_the_same_name(name: str) -> None:
    assert elements.name_of(elements.number_of(name)) == name
    assert arrays.name_of(helper.tensor_dtype_to_np_dtype(elements.number_of(name))) == name


@pytest.mark.parametrize("name", LACKING)
def test_array_files_carry_types_that_numpy_lacks(name: str, tmp_path: Path) -> None:
    array = values(name)
    index = arrays.write_arrays(str(tmp_path / "a"), {"x": array.reshape(2, 2)})
    read = arrays.read_arrays(str(tmp_path / "a"))["x"]
    assert index["x"]["dtype"] == name and read.dtype == arrays.carrier(name) and read.shape == (2, 2)
    if name in arrays.SMALL_INTEGERS:
        assert read.reshape(-1).tolist() == array.astype(int).tolist()
    numpy.testing.assert_array_equal(numpy.asarray(read).view(array.dtype).reshape(-1), array)


@pytest.mark.parametrize("name", LACKING)
def test_bundles_carry_weights_of_types_that_numpy_lacks(name: str, tmp_path: Path) -> None:
    array = values(name)
    kind = elements.number_of(name)
    proto = helper.make_model(
        helper.make_graph([node("Identity", ["w"], ["v"])], "g", [], [helper.make_tensor_value_info("v", kind, [4])]),
        opset_imports=[helper.make_opsetid("", 25)],
    )
    proto.graph.initializer.append(numpy_helper.from_array(array, "w"))
    folder = bundle.write(specialise(from_proto(proto, "test")).program, tmp_path / "bundle")
    read = program.read_program(str(folder))
    assert read.outputs[0].dtype == name
    numpy.testing.assert_array_equal(numpy.asarray(read.weights["v"]).view(array.dtype), array)
    inside = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(inside)
    numpy.testing.assert_array_equal(numpy_helper.to_array(inside.graph.initializer[0]), array)


def test_strings_are_refused_by_the_operator_that_works_on_them() -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.STRING, [2]) for name in ("x", "y")]
    output = helper.make_tensor_value_info("z", TensorProto.STRING, [2])
    graph = helper.make_graph([node("StringConcat", ["x", "y"], ["z"])], "g", inputs, [output])
    with pytest.raises(UnsupportedModel, match="strings") as error:
        specialise(from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), "test"))
    assert error.value.operator == "StringConcat"
