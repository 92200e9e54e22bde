"""A lower precision is a property of the Program: its tensors are of that type, its edges stay float32."""

from __future__ import annotations

import numpy
import pytest

from harness.errors import HarnessError
from harness.parity import FLOOR, REDUCED_LIMIT, Finding
from harness.spec import prepare, reference
from harness.spec.precision import EPSILONS, in_precision
from harness.spec.prepare import Workload

TYPES = {"bf16": "bfloat16", "fp16": "float16"}


@pytest.fixture
def workload(home) -> Workload:
    return Workload(prepare.find("lenet5"), "infer", 2, seed=0)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_float32_stays_as_it_is(precision, workload) -> None:
    assert in_precision(workload.program, precision) is workload.program


@pytest.mark.parametrize("precision", sorted(TYPES))
def test_everything_inside_is_of_the_lower_type_and_the_edges_are_not(precision, workload) -> None:
    program = in_precision(workload.program, precision)
    assert {tensor.dtype for tensor in (*program.inputs, *program.outputs)} == {"float32"}
    made = {name for node in program.nodes for name in node.outputs} - {tensor.name for tensor in program.outputs}
    assert {program.tensors[name].dtype for name in made} == {TYPES[precision]}
    assert {tensor.dtype for tensor in program.initializers} == {TYPES[precision]}
    assert all(program.weights[tensor.name].dtype.itemsize == 2 for tensor in program.initializers)
    assert [node.op for node in program.nodes].count("Cast") == 2


def test_a_bundle_in_half_precision_computes_the_same_model(workload) -> None:
    bundle = workload.bundle(None, "channels-first", "fp16")
    found = reference.evaluate(bundle.program, workload.input_arrays()).outputs["logits"]
    right = workload.reference().outputs["logits"]
    error = numpy.abs(found - right).max() / numpy.abs(right).max()
    assert 1e-6 < error < Finding(precision="fp16").allows(workload.reference().rounding["logits"])


def test_bundles_of_different_precisions_are_told_apart(workload) -> None:
    folders = {workload.bundle(None, "channels-first", precision).folder for precision in ("fp32", "bf16", "fp16")}
    assert len(folders) == 3


def test_training_in_less_than_float32_is_refused(home) -> None:
    with pytest.raises(HarnessError, match="training in bf16 is not defined"):
        in_precision(Workload(prepare.find("mlp"), "train", 2, seed=0).program, "bf16")


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_more_is_allowed_in_a_lower_precision_but_never_another_model(precision) -> None:
    finding = Finding(precision=precision)
    assert FLOOR < finding.allows(0.0) <= finding.allows(1e-3) <= REDUCED_LIMIT
    assert finding.allows(0.0) >= EPSILONS[precision]


def test_in_half_the_bits_about_half_the_bytes_move(workload) -> None:
    assert workload.cost_in("fp32") is workload.cost
    half, whole = workload.cost_in("fp16"), workload.cost
    assert 0.45 < half.traffic_bytes / whole.traffic_bytes < 0.75
    assert half.weight_bytes * 2 == whole.weight_bytes
