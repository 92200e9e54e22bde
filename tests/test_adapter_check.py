"""`harness adapter check`: who cheats is caught by name, who is honest is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SPECIMENS

from harness.adapters import read_adapter
from harness.adapting import kit
from harness.adapting.checks import CHECKS
from harness.adapting.findings import FAIL, Finding
from harness.adapting.subject import Pace
from harness.commands import options

CHEATS = SPECIMENS / "cheats"

#: Who hangs is not waited for, and leaks are looked for in fewer loads and steps. The rules are the same.
QUICK = Pace(timeout=3.0, lasting_seconds=1.5, cases="test_gemm*,test_relu*,test_sce_mean")
PATIENT = replace(QUICK, timeout=30.0)


@pytest.fixture(scope="module", autouse=True)
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """References are computed once for all cheats."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def found(folder: Path, only: str, tmp_path: Path, pace: Pace) -> list[Finding]:
    spec = read_adapter(folder)
    provide = options.provider({spec.name: "current"}, lambda text: None)
    with kit.opened(spec, provide, "cpu", tmp_path, pace) as subject:
        return list(kit.examine(subject, kit.chosen(only)))


@pytest.mark.parametrize(
    ("cheat", "check", "words", "file"),
    [
        ("hasty", "synchronize", "synchronize() returns before the work is done", "adapter.py"),
        ("caching", "remembered answers", "answers are remembered by input", "adapter.py:11"),
        ("replaying", "remembered answers", "answers are remembered by input (staged once", "adapter.py:9"),
        ("replaying", "plausibility", "faster than this machine can compute", "adapter.py:9"),
        ("mistaken", "answers", "it gives another model's output", "adapter.py:9"),
        ("greedy", "threads", "threads=1 is ignored: working threads are", "adapter.py"),
        ("leaking", "lasting", "it leaks: in ", "adapter.py"),
        ("sleeping", "lasting", "hangs: turn: no answer within", "adapter.py"),
        ("dying", "lasting", "dies: turn: the worker died of SIGSEGV; it printed last: step 100", "adapter.py"),
        ("babbling", "output", "it prints at every step: 256 bytes of binary rubbish", "adapter.py:9"),
        ("scribbling", "answers", "breaks the protocol: it writes into the worker's own pipe", "adapter.py:10"),
        ("biased", "training", "it trains 394 of the model's 235,146 parameters", "adapter.py:7"),
        ("narrow", "precision", "which is what bf16 does to it", "adapter.py"),
        ("deaf", "options", "precision 'tf32' is ignored", "adapter.py:7"),
        ("deaf", "options", "mode 'no-such-thing' is ignored", "adapter.py:7"),
        ("sloppy", "board", "node: Gemm is wrong in ", "ops.py:6"),
        ("lingering", "ending", "it does not end when it is told to, and has to be killed", "adapter.py:9"),
    ],
)
def test_who_cheats_is_caught_by_name(cheat: str, check: str, words: str, file: str, tmp_path: Path) -> None:
    failures = [finding for finding in found(CHEATS / cheat, check, tmp_path, QUICK) if finding.outcome == FAIL]
    assert any(words in finding.text for finding in failures), failures
    assert any(words in finding.text and file in finding.where for finding in failures), failures


def test_who_computes_and_trains_honestly_fails_nothing(tmp_path: Path) -> None:
    names = ",".join(CHECKS)
    findings = found(CHEATS / "trainer", names, tmp_path, PATIENT)
    assert [finding for finding in findings if finding.outcome == FAIL] == []
    assert {finding.check for finding in findings if finding.outcome == "pass"} == set(names.split(","))


def test_the_specimen_that_only_computes_fails_nothing_but_its_options(tmp_path: Path) -> None:
    names = ",".join(name for name in CHECKS if name != "files")
    findings = found(SPECIMENS / "honest", names, tmp_path, PATIENT)
    assert {finding.check for finding in findings if finding.outcome == FAIL} == {"options"}


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "harness", "adapter", "check", *arguments]
    environ = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, timeout=120, env=environ)


def test_the_command_ends_with_a_table_a_sum_and_a_code(tmp_path: Path) -> None:
    good = command(str(CHEATS / "trainer"), "--env", "trainer=current", "--only", "options,interface", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert "check" in good.stdout and "outcome" in good.stdout and good.stdout.rstrip().endswith("3 pass")
    bad = command(str(CHEATS / "deaf"), "--env", "deaf=current", "--only", "options", cwd=tmp_path)
    assert bad.returncode == 1 and "adapter.py:7" in bad.stdout and "FAIL" in bad.stdout.splitlines()[-1]


def test_what_is_missing_fails_only_if_that_is_asked_for(tmp_path: Path) -> None:
    line = [str(CHEATS / "trainer"), "--env", "trainer=current", "--only", "files"]
    assert command(*line, cwd=tmp_path).returncode == 0
    strict = command(*line, "--strict", cwd=tmp_path)
    assert strict.returncode == 1 and "missing" in strict.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tourch"], "Did you mean 'torch'"),
        (["./absent"], "adapter.toml"),
        (["torch", "--only", "optoins"], "Did you mean 'options'"),
        (["null"], "computes nothing, by design"),
        (["torch", "--env", "mxnet=current"], "not among the adapters"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
