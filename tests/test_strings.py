"""Strings travel to an adapter that has operators for them, and to no other."""

from pathlib import Path

import numpy
import pytest
from onnx import TensorProto, helper

from harness.kit import arrays
from harness.spec import bundle
from harness.spec.model import Model, from_proto
from harness.spec.specialise import UnsupportedModel, specialise


def _model(initializers: list[TensorProto] | None = None) -> Model:
    inputs = [helper.make_tensor_value_info("x", TensorProto.STRING, [2])]
    output = helper.make_tensor_value_info("z", TensorProto.STRING, [2])
    if initializers is None:
        inputs.append(helper.make_tensor_value_info("y", TensorProto.STRING, [2]))
    join = helper.make_node("StringConcat", ["x", "y"], ["z"])
    graph = helper.make_graph([join], "g", inputs, [output], initializers or [])
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), "test")


def test_arrays_of_strings_come_back_as_they_were(tmp_path: Path) -> None:
    texts = numpy.array([["", "é"], ['a"b', "c\n"]], object)
    arrays.write_arrays(str(tmp_path / "a"), {"n": numpy.arange(3), "s": texts, "t": texts[:0], "m": numpy.ones(2)})
    read = arrays.read_arrays(str(tmp_path / "a"))
    numpy.testing.assert_array_equal(read["s"], texts)
    assert read["s"].dtype == arrays.carrier("string")
    assert read["t"].shape == (0, 2)
    numpy.testing.assert_array_equal(read["n"], [0, 1, 2])
    numpy.testing.assert_array_equal(read["m"], [1, 1])


def test_an_adapter_with_operators_of_strings_gets_them(tmp_path: Path) -> None:
    program = specialise(_model(), operators=["StringConcat"]).program
    assert {tensor.dtype for tensor in program.inputs + program.outputs} == {"string"}
    bundle.write(program, tmp_path / "bundle")


def test_other_adapters_do_not() -> None:
    with pytest.raises(UnsupportedModel, match="strings"):
        specialise(_model(), operators=["Add"])


def test_weights_of_strings_are_refused() -> None:
    weight = helper.make_tensor("y", TensorProto.STRING, [2], [b"a", b"b"])
    with pytest.raises(UnsupportedModel, match="strings"):
        specialise(_model([weight]), operators=["StringConcat"])
