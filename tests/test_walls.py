"""The walls of the design: who may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {
    "torch",
    "tensorflow",
    "mxnet",
    "caffe2",
    "onnxruntime",
    "jax",
    "theano",
    "chainer",
    "openvino",
    "tinygrad",
}
WIRE_FORMAT = {"adapters.kit", "adapters.kit.program"}


def imported(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "harness").rglob("*.py")), ids=lambda path: path.name)
def test_the_controller_imports_no_framework_and_of_the_adapters_only_the_wire_format(path: Path) -> None:
    names = imported(path)
    assert not {name.split(".")[0] for name in names} & FRAMEWORKS
    assert {name for name in names if name.split(".")[0] == "adapters"} <= WIRE_FORMAT


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").rglob("*.py")), ids=lambda path: path.parent.name)
def test_adapters_never_import_the_controller(path: Path) -> None:
    assert "harness" not in {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "adapters" / "kit").glob("*.py")), ids=lambda path: path.name)
def test_the_kit_needs_only_numpy_and_the_standard_library(path: Path) -> None:
    top = {name.split(".")[0] for name in imported(path)}
    assert top <= set(sys.stdlib_module_names) | {"numpy"}


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").rglob("*.py")), ids=lambda path: path.parent.name)
def test_the_worker_side_keeps_to_the_syntax_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 7))


def test_importing_the_controller_loads_no_heavy_library() -> None:
    code = "import sys, harness, harness.cli; print(sorted({'pandas', 'onnx', 'scipy', 'altair'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
