"""`harness rosetta`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SPECIMENS = Path(__file__).parent / "specimens"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter that only infers, and has no programs yet."""
    return Path(shutil.copytree(SPECIMENS / "honest", tmp_path / "plain"))


def rosetta(adapter: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ["--adapter-path", str(adapter), "--env", f"{adapter.name}=current"]
    command = [sys.executable, "-m", "harness", "rosetta", *(arguments or (adapter.name,)), *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=adapter.parent)


def test_what_is_not_written_is_said_and_ends_with_code_1(adapter: Path) -> None:
    (adapter / "rosetta").mkdir()
    (adapter / "rosetta" / "use_gpu.py").write_text('import sys\n\nsys.exit("cannot: there are no layers here")\n')
    (adapter / "rosetta" / "mistakes.py").write_text('CANNOT = {"nan_loss": "it does not train"}\n')
    done = rosetta(adapter)
    assert done.returncode == 1, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["use_gpu", "cannot", "0."] in [[*line[:2], line[2][:2]] for line in lines if len(line) > 2]
    assert any(line[:2] == ["find_nan", "unwritten"] for line in lines)
    assert not any(line[:1] == ["convnet"] for line in lines)  # it does not train


def test_a_program_that_cannot_is_no_failure(adapter: Path) -> None:
    (adapter / "rosetta").mkdir()
    (adapter / "rosetta" / "use_gpu.py").write_text('import sys\n\nsys.exit("cannot: there are no layers here")\n')
    done = rosetta(adapter, "plain", "--match", "use_gpu", "--show")
    assert done.returncode == 0, done.stderr
    assert "relu(x w1) w2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(("plaim",), "plain"), (("plain", "--match", "convnets"), "convnet"), (("plain",), "ease.md")],
)
def test_bad_input_ends_with_code_2_and_a_hint(adapter: Path, arguments: tuple[str, ...], hint: str) -> None:
    done = rosetta(adapter, *arguments)
    assert done.returncode == 2
    assert hint in done.stderr and "Traceback" not in done.stderr
