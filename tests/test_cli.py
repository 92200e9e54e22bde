"""The command line: it teaches, and bad input ends with exit code 2, one clear message and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from conftest import SPECIMENS
from graphs import mlp, model, node


def harness(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def file(tmp_path: Path, home: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(mlp(), path)
    return path


@pytest.mark.parametrize(
    "command", [[], ["run"], ["report"], ["model"], ["model", "train"], ["env"], ["list"], ["doctor"]]
)
def test_help_is_there_for_every_command(command: list[str]) -> None:
    done = harness(*command, "--help")
    assert done.returncode == 0 and "Usage" in done.stdout


@pytest.mark.parametrize("what", ["adapters", "models", "scenarios", "suites", "runs"])
def test_everything_can_be_listed(what: str, tmp_path: Path) -> None:
    done = harness("list", what, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = {"adapters": "torch", "models": "lenet5", "scenarios": "coldstart", "suites": "quick", "runs": "Runs"}
    assert expected[what] in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tourch"], "Did you mean 'torch'"),
        (["run", "--models", "lenet"], "Did you mean 'lenet5'"),
        (["run", "--models", "absent.onnx"], "unknown model 'absent.onnx'"),
        (["run", "--scenarios", "trian"], "Did you mean 'train'"),
        (["run", "--device", "tpu"], "no device is called 'tpu'"),
        (["run", "--suite", "quik"], "Did you mean 'quick'"),
        (["run", "--suite", "absent.toml"], "no such suite file"),
        (["run", "--batch", "0"], "whole number"),
        (["run", "--modes", "eagre"], "Did you mean 'eager'"),
        (["run", "--shape", "sequence"], "NAME=VALUE"),
        (["run", "--env", "torch"], "NAME=VALUE"),
        (["run", "torch", "--env", "mxnet=current"], "not among the adapters"),
        (["run", "--adapter-path", "/nonexistent"], "no adapter there"),
        (["run", "--resume", "absent"], "absent"),
        (["report", "absent"], "absent"),
        (["model", "show", "absent.onnx"], "no such file"),
        (["model", "show", "lenet"], "Did you mean 'lenet5'"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "reports").exists()


def test_show_says_what_a_model_is(file: Path) -> None:
    done = harness("model", "show", str(file), "--batch", "4")
    assert done.returncode == 0, done.stderr
    for text in ("x float32[4, 4]", "y float32[4, 3]", "Gemm x2", "67 elements", "none; `harness model train`"):
        assert text in done.stdout
    assert f"{2 * 4 * (4 * 8 + 8 * 3) + 4 * 8:,} of one forward pass" in done.stdout


def test_train_writes_a_recipe_that_show_reads(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "trains.onnx"
    arguments = ["--loss", "softmax-cross-entropy", "--optimizer", "momentum", "--learning-rate", "0.05"]
    done = harness(
        "model", "train", str(file), *arguments, "--set", "alpha=0.8", "--set", "mode=nesterov", "-o", str(new)
    )
    assert done.returncode == 0, done.stderr
    shown = harness("model", "show", str(new)).stdout
    assert "SoftmaxCrossEntropyLoss, Momentum (learning rate 0.05, alpha=0.8" in shown and "mode=nesterov" in shown
    assert "67 elements in 4 tensors" in shown
    assert len(onnx.load(new).training_info) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "hinge", "--optimizer", "Adam"], "unknown loss 'hinge'"),
        (["--loss", "softmax-cross-entropy", "--optimizer", "Adan"], "Did you mean 'Adam'"),
        (["--loss", "softmax-cross-entropy", "--optimizer", "Adam", "--set", "gamma=1"], "no attribute 'gamma'"),
        (["--loss", "softmax-cross-entropy", "--optimizer", "Adam", "--set", "alpha=high"], "not a number"),
        (["--loss", "softmax-cross-entropy", "--optimizer", "Adam", "--set", "alpha=2"], "alpha"),
        (["--loss", "softmax-cross-entropy", "--optimizer", "Adam", "--tensor", "z"], "z"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(
    arguments: list[str], message: str, file: Path, tmp_path: Path
) -> None:
    done = harness("model", "train", str(file), *arguments, "-o", str(tmp_path / "new.onnx"))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "new.onnx").exists()


def test_a_recipe_is_written_beside_you_where_no_place_is_given(file: Path, tmp_path: Path) -> None:
    done = harness("model", "train", str(file), "--loss", "mean-squared-error", "--optimizer", "Adagrad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(onnx.load(tmp_path / "net-train.onnx").training_info) == 1


def test_a_run_on_a_broken_file_makes_nothing(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])
    done = harness("run", "torch", "--models", str(file), cwd=tmp_path)
    assert done.returncode == 2 and str(file) in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_dimension_that_no_model_has_is_an_error(tmp_path: Path, home: Path) -> None:
    done = harness("run", "--models", "mlp", "--shape", "bath=3", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'batch'" in done.stderr and not (tmp_path / "reports").exists()


def test_a_run_that_no_framework_can_do_ends_with_an_error_and_a_report(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(model([node("NonZero", ["x"], ["y"])], {"x": [1]}), path)
    given = ["--adapter-path", str(SPECIMENS), "--env", "honest=current", "--env", "null=current"]
    done = harness("run", "honest", "--models", str(path), "--scenarios", "infer", *given, "--name", "n", cwd=tmp_path)
    assert done.returncode == 2 and "NonZero" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "reports" / "n" / "report.html").exists()


def test_an_unsupported_operator_is_named(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "odd.onnx"
    onnx.save(model([node("NonZero", ["x"], ["y"])], {"x": [3]}), path)
    done = harness("model", "show", str(path))
    assert done.returncode == 2 and "NonZero" in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_shape_is_named(file: Path) -> None:
    done = harness("model", "show", str(file), "--shape", "width=3")
    assert done.returncode == 2 and "no dimension 'width'" in done.stderr
