"""`harness check`: the gate alone, and where a wrong answer begins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import onnx
import pytest
from conftest import SPECIMENS
from graphs import model, node

from harness.locate import prefix
from harness.spec.model import from_proto
from harness.spec.specialise import specialise

#: An adapter like the honest one, whose Relu lets a little of what is negative through.
LEAKY = """
import numpy
from adapters.honest import adapter, ops
from adapters.kit.lowering import lower, operators_of

class Network(adapter.HonestNetwork):
    def infer(self, staged):
        table = {**operators_of(ops), "Relu": lambda x: numpy.maximum(x, 0.01 * x).astype(x.dtype)}
        values = lower(self.program, table, {**self.program.weights, **staged})
        return {tensor.name: values[tensor.name] for tensor in self.program.outputs}

class ADAPTER(adapter.HonestAdapter):
    network = Network
"""


@pytest.fixture
def specimens(tmp_path: Path) -> Path:
    """The honest specimen, and the leaky one beside it."""
    folder = tmp_path / "specimens"
    for name in ("honest", "leaky"):
        shutil.copytree(SPECIMENS / "honest", folder / name)
    (folder / "leaky" / "adapter.py").write_text(LEAKY)
    return folder


def check(specimens: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("honest", "leaky")
    command = [sys.executable, "-m", "harness", "check", *arguments, "--adapter-path", str(specimens)]
    command += [f"--env={name}=current" for name in names if f"--adapters={name}" in arguments or name in arguments[2]]
    return subprocess.run(command, cwd=specimens.parent, capture_output=True, text=True, timeout=120)


def test_a_right_adapter_ends_with_exit_code_0(specimens: Path) -> None:
    done = check(specimens, "mlp", "--adapters", "honest", "--scenarios", "infer")
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


def test_a_wrong_adapter_ends_with_exit_code_1_and_the_first_tensor_that_is_wrong(specimens: Path) -> None:
    done = check(specimens, "mlp", "--adapters", "honest,leaky", "--scenarios", "infer")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "first wrong:" in text
    assert "made by Relu" in text


def test_an_operator_that_no_adapter_has_is_named_and_ends_with_exit_code_2(specimens: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(model([node("Det", ["x"], ["y"])], {"x": [2, 3, 3]}), path)
    done = check(specimens, str(path), "--adapters", "honest")
    assert done.returncode == 2
    assert "Det" in done.stdout
    assert "no framework computes" in done.stderr


def test_a_dimension_that_the_model_lacks_is_refused_with_those_that_it_has(specimens: Path) -> None:
    done = check(specimens, "mlp", "--adapters", "honest", "--shape", "length=3")
    assert done.returncode == 2
    assert "length" in done.stderr
    assert "batch" in done.stderr


def test_the_first_nodes_of_a_program_are_a_program_whose_outputs_the_rest_reads() -> None:
    weights = {"w": numpy.ones((4, 4), "f4"), "v": numpy.ones((4, 4), "f4")}
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("MatMul", ["b", "v"], ["c"]),
        node("Add", ["a", "c"], ["y"]),
    ]
    program = specialise(from_proto(model(nodes, {"x": [2, 4]}, weights=weights), "test")).program
    part = prefix(program, 2)
    assert [tensor.name for tensor in part.outputs] == ["a", "b"]
    assert [tensor.name for tensor in part.initializers] == ["w"]
    assert [tensor.name for tensor in prefix(program, 4).outputs] == ["y"]
