"""Whole runs, with specimens for frameworks: what fails fails alone, and what was measured is never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import psutil
import pytest
from conftest import SPECIMENS

import harness

SUITE = """
[settings]
warm_up_seconds = 0.01
turn_seconds = 0.005
sample_seconds = 0.0005
comparison_seconds = {seconds}
min_rounds = 6
max_rounds = {rounds}
timeout_seconds = {timeout}

[[comparisons]]
scenario = "infer"
models = ["mlp"]
batches = [1, 4]

[[comparisons]]
scenario = "coldstart"
models = ["mlp"]
repeats = 2

[[comparisons]]
scenario = "ease"
"""


def command(tmp_path: Path, *names: str, seconds: float = 0.2, rounds: int = 8, timeout: float = 20) -> list[str]:
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(seconds=seconds, rounds=rounds, timeout=timeout))
    given = [f"--env={name}=current" for name in (*names, "null") if name != "homeless"]
    paths = ["--adapter-path", str(SPECIMENS)]
    command = [sys.executable, "-m", "harness", "run", *names, "--suite", str(suite), "--out", "runs", "--name", "test"]
    return [*command, *paths, *given]


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=180, cwd=cwd)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One run with a good specimen and all bad ones."""
    tmp_path = tmp_path_factory.mktemp("everything")
    os.environ["HARNESS_HOME"] = str(tmp_path / "home")
    names = ("honest", "wrong", "crashing", "killed", "hanging", "noisy", "refusing", "starving", "homeless")
    try:
        return tmp_path / "runs" / "test", run(command(tmp_path, *names, timeout=4), tmp_path)
    finally:
        del os.environ["HARNESS_HOME"]


def cells(folder: Path, scenario: str = "infer") -> pandas.DataFrame:
    frame = harness.load(folder).cells
    return frame[(frame.scenario == scenario) & (frame.batch == 1)].set_index("adapter")


def test_a_run_ends_well_with_a_report_whatever_its_cells_did(everything) -> None:
    folder, done = everything
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 10_000
    for frame in ("cells", "samples", "ease", "environments"):
        assert (folder / f"{frame}.parquet").exists() and (folder / f"{frame}.csv").exists()
    assert "honest" in done.stdout


@pytest.mark.parametrize(
    ("adapter", "status", "reason"),
    [
        ("honest", "ok", None),
        ("noisy", "ok", None),
        ("wrong", "wrong", "off by 0.01"),
        ("crashing", "failed", "SIGSEGV"),
        ("killed", "failed", "ran out of memory"),
        ("hanging", "timeout", "no answer within 4 s"),
        ("refusing", "unsupported", "Gemm"),
        ("starving", "failed", "out of memory"),
        ("homeless", "unsupported", "no environment: "),
    ],
)
@pytest.mark.parametrize("scenario", ["infer", "coldstart"])
def test_every_cell_ends_with_its_status_and_reason(adapter, status, reason, scenario, everything) -> None:
    cell = cells(everything[0], scenario).loc[adapter]
    assert cell.status == status
    assert pandas.isna(cell.reason) if reason is None else reason in cell.reason


def test_only_cells_that_are_right_show_a_time(everything) -> None:
    frame = harness.load(everything[0]).cells
    timed = frame[frame.median_ns.notna()]
    assert set(timed.adapter) == {"honest", "noisy", "null"} and (timed.status == "ok").all()


def test_a_cell_that_is_right_has_its_figures(everything) -> None:
    cell = cells(everything[0]).loc["honest"]
    assert cell.rounds >= 6 and cell.samples >= cell.rounds
    assert cell.ci_low_ns <= cell.median_ns <= cell.ci_high_ns <= 1e9
    assert cell.p90_ns <= cell.p99_ns and cell.throughput_per_s == pytest.approx(1e9 / cell.median_ns)
    assert cell.peak_host_bytes > 10**7 and cell.max_relative_error < 1e-5 and cell.flops > 0
    assert cell.device == "cpu" and cell.clock_scope == "device" and len(cell.model_sha256) == 64


def test_a_cold_start_has_its_phases(everything) -> None:
    cell = cells(everything[0], "coldstart").loc["honest"]
    phases = cell.spawn_ns + cell.import_ns + cell.load_ns + cell.first_result_ns
    assert cell.clock_scope == "cold" and 0 < phases <= cell.median_ns * 1.5


def test_the_null_adapter_is_measured_and_compared_with_nobody(everything) -> None:
    cell = cells(everything[0]).loc["null"]
    assert cell.status == "ok" and cell.median_ns < 1e5 and pandas.isna(cell.ratio)


def test_an_environment_that_cannot_be_made_is_listed_with_its_reason(everything) -> None:
    environments = harness.load(everything[0]).environments.set_index("adapter")
    assert "2.6" in environments.loc["homeless"].reason
    assert "2.6" in everything[1].stdout


def test_turns_are_shuffled_but_the_same_for_the_same_seed(everything) -> None:
    samples = harness.load(everything[0]).samples
    timed = samples[(samples.phase == "timed") & samples.cell.str.contains("-b1-")]
    orders = timed.groupby("cell")["order"].nunique()
    assert (orders > 1).all()


def test_ease_counts_something_real(everything) -> None:
    ease = harness.load(everything[0]).ease.set_index(["adapter", "metric"]).value
    assert ease["honest", "adapter_lines"] > 20 and ease["honest", "packages"] > 5
    assert ease["honest", "operators_missing"] == 0


def test_ease_alone_needs_no_model_and_runs_what_the_adapter_has(tmp_path: Path) -> None:
    arguments = command(tmp_path, "honest")
    done = run([*arguments, "--scenarios", "ease"], tmp_path)
    assert done.returncode == 0, done.stderr
    measured = harness.load(tmp_path / "runs" / "test")
    assert not len(measured.cells)
    ease = measured.ease.set_index(["metric", "task"]).value
    assert ease["done", "onnx_roundtrip"] == 0 and ease["operator_lines", ""] > 5
    assert "convnet" not in set(measured.ease.task)  # it does not train, and is not asked to
    assert set(measured.programs.outcome) == {"unwritten"}
    assert any("no diagnostics" in text for text in measured.warnings)
    assert (tmp_path / "runs" / "test" / "ease.html").is_file()
    assert "lines of the adapter" in done.stdout and "ease.html" in done.stdout


def test_a_name_that_is_taken_is_refused_and_keeps_its_run(everything, tmp_path: Path) -> None:
    folder, _ = everything
    before = (folder / "journal.jsonl").read_bytes()
    arguments = command(tmp_path, "honest")
    arguments[arguments.index("--out") + 1] = str(folder.parent)
    done = run(arguments, tmp_path)
    assert done.returncode == 2 and "exists already" in done.stderr and "Traceback" not in done.stderr
    assert (folder / "journal.jsonl").read_bytes() == before


def heed_interrupts() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C; these processes shall not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def workers_of(folder: str) -> list[str]:
    """Worker processes, given a second to disappear."""
    for _ in range(20):
        listed = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        found = [line for line in listed if "start.py" in line and folder in line]
        if not found:
            break
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_run_keeps_what_it_measured_and_goes_on(how, code, tmp_path: Path, home: Path) -> None:
    arguments = command(tmp_path, "honest", seconds=3.0, rounds=10_000)
    journal = tmp_path / "runs" / "test" / "journal.jsonl"
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=heed_interrupts
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_text().count('"timed"') > 20:
            break
        time.sleep(0.05)
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert not workers_of("specimens/honest")  # parked ones cannot see their pipe close
    before = journal.read_text().splitlines()[:-1]
    if how == signal.SIGINT:
        assert "--resume" in stderr and "Traceback" not in stderr
        assert (journal.parent / "report.html").exists()
    done = run([sys.executable, "-m", "harness", "run", "--out", "runs", "--resume", "test"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert journal.read_text().splitlines()[: len(before)] == before
    frame = harness.load(journal.parent).cells
    assert (frame.status == "ok").all() and len(frame) == 6
    kinds = [json.loads(line)["kind"] for line in journal.read_text().splitlines()]
    assert kinds.count("resume") == 1 and kinds[-1] == "run_end"


def test_a_finished_run_that_is_resumed_measures_nothing_again(everything, tmp_path: Path) -> None:
    folder, _ = everything
    before = (folder / "journal.jsonl").read_text().count('"samples"')
    done = run([sys.executable, "-m", "harness", "run", "--out", str(folder.parent), "--resume", "test"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (folder / "journal.jsonl").read_text().count('"samples"') == before


def test_no_worker_outlives_its_run(everything) -> None:
    assert not workers_of("specimens")


def test_a_framework_that_says_it_is_done_before_it_is_shows_no_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    done = run([*command(tmp_path, "lying", "honest"), "--scenarios", "infer", "--batch", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = cells(tmp_path / "runs" / "test")
    assert found.loc["lying"].status == "wrong" and pandas.isna(found.loc["lying"].median_ns)
    assert "returns before the work is done" in found.loc["lying"].reason
    assert found.loc["honest"].status == "ok"


def test_a_precision_that_is_not_defined_for_training_is_refused_and_the_others_go_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    arguments = command(tmp_path, "honest")
    suite = tmp_path / "suite.toml"
    training = '\n[[comparisons]]\nscenario = "train"\nmodels = ["mlp"]\nbatches = [1]\nprecisions = ["bf16"]\n'
    suite.write_text(suite.read_text() + training)
    done = run([*arguments, "--scenarios", "infer,train", "--batch", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    frame = harness.load(tmp_path / "runs" / "test").cells
    refused = frame[frame.scenario == "train"]
    assert len(refused) and (refused.status == "unsupported").all()
    assert refused.reason.str.contains("training in bf16 is not defined").all()
    assert cells(tmp_path / "runs" / "test").loc["honest"].status == "ok"
