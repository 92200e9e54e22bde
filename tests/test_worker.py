"""Workers: what goes wrong in one fails its request, and nothing else."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy
import onnx
import pytest
from conftest import SPECIMENS
from onnx import helper, numpy_helper

from harness import environments
from harness.adapters import find_adapter
from harness.environments import uv
from harness.kit import arrays
from harness.spec import bundle
from harness.spec.model import from_proto
from harness.spec.specialise import specialise
from harness.worker import Worker, WorkerFailed

OPTIONS = {"mode": "plain", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, numpy.ndarray]:
    """A bundle of Relu(x W + b), inputs for it, and the right answer."""
    folder = tmp_path_factory.mktemp("small")
    weights = numpy.arange(6, dtype=numpy.float32).reshape(3, 2) - 2
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(numpy.ones(2, numpy.float32), "b")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    made = specialise(from_proto(proto, "small"), batch=2)
    x = numpy.array([[1, 2, 3], [-1, 0, 1]], numpy.float32)
    arrays.write_arrays(str(folder / "inputs"), {"x": x})
    return bundle.write(made.program, folder / "bundle"), folder / "inputs", numpy.maximum(x @ weights + 1, 0)


def worker_of(name: str, tmp_path: Path, python: str = sys.executable) -> Worker:
    return Worker(Path(python), SPECIMENS / name, tmp_path / f"{name}.log", threads=1)


def infer(
    worker: Worker, small: tuple[Path, Path, numpy.ndarray], tmp_path: Path, timeout: float = 20.0
) -> numpy.ndarray:
    folder, inputs, _ = small
    worker.ask("hello", 20)
    worker.ask("load", 20, network=1, bundle=str(folder), device="cpu", options=OPTIONS)
    worker.ask("infer", timeout, network=1, inputs=str(inputs), outputs=str(tmp_path / "outputs"))
    return arrays.read_arrays(str(tmp_path / "outputs"))["y"]


@pytest.mark.parametrize("name", ["honest", "noisy"])
def test_a_worker_computes_and_what_it_prints_never_disturbs_the_wire(name, small, tmp_path) -> None:
    worker = worker_of(name, tmp_path)
    try:
        numpy.testing.assert_allclose(infer(worker, small, tmp_path), small[2])
    finally:
        worker.end()
    assert worker.process.returncode == 0


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("crashing", "failed", "SIGSEGV"),
        ("killed", "failed", "ran out of memory"),
        ("starving", "failed", "out of memory"),
        ("hanging", "timeout", "no answer within"),
        ("refusing", "unsupported", "Gemm"),
    ],
)
def test_a_failure_says_its_kind_and_reason(name, kind, reason, small, tmp_path) -> None:
    worker = worker_of(name, tmp_path)
    try:
        with pytest.raises(WorkerFailed) as failure:
            infer(worker, small, tmp_path, timeout=1.0)
    finally:
        worker.end()
    assert failure.value.kind == kind
    assert reason in failure.value.reason
    assert not worker.alive()


def test_a_crash_quotes_the_end_of_the_log(small, tmp_path) -> None:
    worker = worker_of("crashing", tmp_path)
    with pytest.raises(WorkerFailed) as failure:
        infer(worker, small, tmp_path)
    assert "about to touch address zero" in failure.value.log_tail


def test_a_refusal_leaves_the_worker_alive(small, tmp_path) -> None:
    worker = worker_of("honest", tmp_path)
    try:
        worker.ask("hello", 20)
        with pytest.raises(WorkerFailed) as failure:
            options = {**OPTIONS, "mode": "other"}
            worker.ask("load", 20, network=1, bundle=str(small[0]), device="cpu", options=options)
        assert failure.value.kind == "unsupported" and failure.value.alive
        numpy.testing.assert_allclose(infer(worker, small, tmp_path), small[2])
    finally:
        worker.end()


def test_a_parked_worker_uses_no_cpu_and_wakes_when_asked(small, tmp_path) -> None:
    worker = worker_of("honest", tmp_path)
    try:
        infer(worker, small, tmp_path)
        worker.park()
        stat = Path(f"/proc/{worker.process.pid}/stat")
        for _ in range(100):
            if stat.read_text().rpartition(")")[2].split()[0] == "T":
                break
            time.sleep(0.01)
        assert stat.read_text().rpartition(")")[2].split()[0] == "T"
        turn = worker.ask(
            "turn", 20, network=1, what="infer", scope="device", inputs=str(small[1]), repetitions=3, budget_ns=10**6
        )
        assert len(turn["ns"]) >= 1 and all(ns > 0 for ns in turn["ns"])
        assert len(turn["ns"]) == len(turn["waited_ns"]) == len(turn["involuntary_switches"])
    finally:
        worker.end()


def test_the_memory_pass_reports_the_peak_of_its_own_steps(small, tmp_path) -> None:
    worker = worker_of("honest", tmp_path)
    try:
        infer(worker, small, tmp_path)
        peaks = worker.ask("memory", 20, network=1, what="infer", scope="device", inputs=str(small[1]), steps=2)
    finally:
        worker.end()
    slack = 2**20  # the kernel counts pages in batches
    assert peaks["peak_host_bytes"] + slack >= peaks["account"]["status.VmRSS"] > 10**6


OLD_AND_NEW = sorted(uv.interpreters().keys() & {f"3.{minor}" for minor in range(7, 14)}, key=lambda v: int(v[2:]))


@pytest.mark.parametrize("version", OLD_AND_NEW)
def test_the_kit_computes_on_every_python_from_3_7_to_3_13_that_is_here(version, home, small, tmp_path) -> None:
    null = find_adapter("null")
    only = replace(null, environments=tuple(replace(e, python=(version,)) for e in null.environments))
    environment = environments.ensure(only, "cpu")
    assert environment.python_version.startswith(f"{version}.")
    worker = worker_of("honest", tmp_path, str(environment.python))
    try:
        numpy.testing.assert_allclose(infer(worker, small, tmp_path), small[2])
    finally:
        worker.end()
