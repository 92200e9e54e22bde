"""The reference's own operators, held against ONNX's node cases."""

from __future__ import annotations

import numpy
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from harness.conformance.cases import Case, collect
from harness.spec.reference_operators import OPERATORS

NAMES = [operator.__name__ for operator in OPERATORS]
CASES = [
    case
    for case in collect(["node"])
    if [node.op_type for node in case.load().graph.node] in [[name] for name in NAMES]
    and max((array.size for array in case.data()[0][0]), default=0) <= 100_000
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_operator_of_the_reference_gives_onnxs_own_answers(case: Case) -> None:
    proto = case.load()
    inputs, right = case.data()[0]
    feeds = {value.name: array for value, array in zip(proto.graph.input, inputs, strict=True)}
    found = ReferenceEvaluator(proto, new_ops=OPERATORS).run(None, feeds)
    for got, expected in zip(found, right, strict=True):
        assert got.dtype == expected.dtype
        numpy.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_of_the_reference_has_cases_and_keeps_float64(name: str) -> None:
    cases = [case for case in CASES if case.load().graph.node[0].op_type == name]
    assert cases
    proto = onnx.ModelProto()
    proto.CopyFrom(cases[0].load())
    inputs, _ = cases[0].data()[0]
    feeds = {value.name: array.astype("f8") / 3 for value, array in zip(proto.graph.input, inputs, strict=True)}
    found = ReferenceEvaluator(proto, new_ops=OPERATORS).run(None, feeds)[0]
    assert found.dtype == numpy.float64
    assert not numpy.array_equal(found, found.astype("f4"))


def test_the_one_norm_is_of_absolute_values() -> None:
    node = onnx.helper.make_node("LpNormalization", ["x"], ["y"], p=1)
    found = ReferenceEvaluator(node, new_ops=OPERATORS).run(None, {"x": numpy.array([[1.0, -3.0]])})[0]
    numpy.testing.assert_allclose(found, [[0.25, -0.75]])
