"""`harness adapter new`: the folder that it writes works at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from harness.adapters import find_adapter, read_adapter
from harness.adapting import kit
from harness.adapting.findings import FAIL
from harness.adapting.new import STYLES, create
from harness.adapting.subject import Pace
from harness.commands import options
from harness.errors import HarnessError


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("style", STYLES)
def test_a_new_folder_computes_a_model_and_fails_no_check(style: str, tmp_path: Path, home: Path) -> None:
    create("toy", tmp_path, style)
    spec = read_adapter(tmp_path / "toy")
    provide = options.provider({"toy": "current"}, lambda text: None)
    pace = Pace(timeout=30.0, lasting_seconds=1.0)
    with kit.opened(spec, provide, "cpu", tmp_path / "scratch", pace) as subject:
        names = ["interface", "answers", "precision", "options", "training", "output", "lasting", "ending"]
        findings = list(kit.examine(subject, names))
    assert [finding for finding in findings if finding.outcome == FAIL] == []
    assert any(finding.text == "right: mlp" for finding in findings)
    assert spec.modes == (style,) and {finding.check for finding in findings} == set(names)


@pytest.mark.parametrize("style", STYLES)
def test_what_is_written_keeps_to_the_syntax_that_workers_may_use(style: str, tmp_path: Path) -> None:
    for path in create("toy", tmp_path, style):
        if path.suffix == ".py":
            ast.parse(path.read_text(), feature_version=(3, 7))


def test_a_copy_has_the_modules_and_locks_of_what_it_is_a_copy_of(tmp_path: Path) -> None:
    written = create("mytorch", tmp_path, source=find_adapter("torch"))
    assert {"adapter.py", "adapter.toml", "cpu.lock"} <= {path.name for path in written}
    assert read_adapter(tmp_path / "mytorch").title == "PyTorch" and not (tmp_path / "mytorch" / "rosetta").exists()


def test_the_command_lists_its_files_and_says_the_next_step(tmp_path: Path) -> None:
    done = harness("adapter", "new", "toy", "--into", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mine/toy/ops.py" in done.stdout and "Next: harness adapter check mine/toy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Toy"], "an adapter cannot be called 'Toy'"),
        (["toy", "--style", "egaer"], "Did you mean 'eager'"),
        (["toy", "--from", "tourch"], "Did you mean 'torch'"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = harness("adapter", "new", *arguments, "--into", ".", cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    create("toy", tmp_path)
    with pytest.raises(HarnessError, match="there is something already"):
        create("toy", tmp_path)
