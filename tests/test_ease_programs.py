"""Rosetta programs: how they are run and judged. The programs here are numpy's."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from harness.adapters import AdapterSpec, find_adapter
from harness.ease import programs, references, tasks
from harness.ease.programs import Attempt
from harness.ease.tasks import TASKS
from harness.environments import Environment

Run = Callable[..., Attempt]

RIGHT = """
import numpy

data = dict(numpy.load("data.npz"))
x, y, w1, w2 = (data[name].astype("float64") for name in ("x", "y", "w1", "w2"))
losses = []
for _ in range(30):
    hidden = numpy.maximum(x @ w1, 0)
    error = hidden @ w2 - y
    losses.append((error**2).mean())
    slope = 2 * error / error.size
    w1, w2 = w1 - 0.5 * x.T @ (slope @ w2.T * (hidden > 0)), w2 - 0.5 * hidden.T @ slope
numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
"""


@pytest.fixture
def adapter(tmp_path: Path) -> AdapterSpec:
    (tmp_path / "plain" / "rosetta").mkdir(parents=True)
    return replace(find_adapter("null"), name="plain", folder=tmp_path / "plain")


@pytest.fixture
def run(adapter: AdapterSpec, tmp_path: Path) -> Run:
    here = Environment("plain", "current", "cpu", Path(sys.executable), platform.python_version(), {}, 0)

    def run(text: str, task: str = "two_layer_by_hand", timeout: float = 60) -> Attempt:
        programs.file_of(adapter, task).write_text(text)
        return programs.run(adapter, TASKS[task], here, tmp_path / "scratch", threads=1, timeout=timeout)

    return run


def test_a_program_that_computes_what_numpy_does_is_done(run: Run) -> None:
    attempt = run(RIGHT)
    assert (attempt.outcome, attempt.reason) == ("done", "")
    assert attempt.seconds and attempt.seconds > 0


def test_a_program_that_computes_something_else_is_wrong_and_the_reason_says_which_result_is_off(run: Run) -> None:
    attempt = run(RIGHT.replace("w2 - 0.5", "w2 - 0.49"))
    assert attempt.outcome == "wrong"
    assert "`losses` is off by" in attempt.reason


def test_a_result_that_is_missing_is_named(run: Run) -> None:
    assert run(RIGHT.replace(", w2=w2", "")).reason == "results.npz holds no `w2`"


def test_nan_is_wrong(run: Run) -> None:
    assert run(RIGHT.replace("losses=losses", "losses=numpy.full(30, numpy.nan)")).outcome == "wrong"


def test_what_a_framework_cannot_do_is_said_by_its_program(run: Run) -> None:
    attempt = run('import sys\nsys.exit("cannot: numpy has no gradients")\n')
    assert (attempt.outcome, attempt.reason) == ("cannot", "numpy has no gradients")


def test_a_program_that_fails_is_not_one_that_cannot(run: Run) -> None:
    attempt = run('raise ValueError("no such thing")\n')
    assert (attempt.outcome, attempt.reason) == ("failed", "it ended with code 1: ValueError: no such thing")


def test_a_program_that_is_killed_says_by_what(run: Run) -> None:
    assert "killed by SIGSEGV" in run("import os\nos.kill(os.getpid(), 11)\n").reason


def test_a_program_that_hangs_is_ended_with_its_children(run: Run, tmp_path: Path) -> None:
    child = tmp_path / "child"
    attempt = run(
        f"import os, time\nopen({str(child)!r}, 'w').write(str(os.fork() or os.getpid()))\ntime.sleep(60)\n", timeout=1
    )
    assert "did not end in time" in attempt.reason
    assert (
        not Path(f"/proc/{child.read_text()}/cmdline").exists()
        or not Path(f"/proc/{child.read_text()}/cmdline").read_text()
    )


def test_what_a_program_prints_is_kept_without_places_of_this_machine(run: Run, tmp_path: Path) -> None:
    attempt = run("import json\nprint(json.__file__, object(), __file__)\nraise OSError(__file__)\n")
    assert "object at 0x…>" in attempt.log
    assert str(tmp_path) not in attempt.log + attempt.reason and sys.base_prefix not in attempt.log
    assert "adapters/plain/rosetta/two_layer_by_hand.py" in attempt.reason


def test_a_change_of_one_program_changes_only_its_own_rows(adapter: AdapterSpec) -> None:
    for task in ("convnet", "checkpoint"):
        programs.file_of(adapter, task).write_text("import torch\n\nprint(torch.zeros(3))\n")
    before = list(programs.parsed(adapter))
    programs.file_of(adapter, "convnet").write_text("import torch\n\nprint(torch.zeros(3).sum())\n")
    changed = [new["task"] for old, new in zip(before, programs.parsed(adapter), strict=True) if old != new]
    assert changed and set(changed) == {"convnet"}


def test_a_program_that_is_not_there_is_unwritten(adapter: AdapterSpec, run: Run, tmp_path: Path) -> None:
    here = Environment("plain", "current", "cpu", Path(sys.executable), "3.11.0", {}, 0)
    attempt = programs.run(adapter, TASKS["convnet"], here, tmp_path, threads=1, timeout=5)
    assert attempt.outcome == "unwritten"


def test_objects_in_results_are_not_loaded(run: Run) -> None:
    attempt = run(RIGHT.replace("losses=losses", "losses=numpy.array([{}], dtype=object)"))
    assert attempt.outcome == "wrong"
    assert "left no results" in attempt.reason


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("file.py:3: UserWarning: Using a target size\n  loss = f(x)\n", 1),
        ("[12:00:01] WARNING: something is odd\n", 1),
        ("W0000 00:00:17 file.cc:12] rounding may differ\nI0000 00:00 all is well\n", 1),
        ("\x1b[0;93m2026-11-24 [W:onnxruntime:, graph.cc:109 MergeShapeInfo] Error merging\n", 1),
        ("  warnings.warn(message)\n", 0),
        ("epoch 1: loss 0.3\n", 0),
        ("WARNING:root:a\nFutureWarning: b is deprecated\n", 2),
    ],
)
def test_only_lines_that_warn_are_counted(text: str, count: int) -> None:
    assert programs.count_warnings(text) == count


def test_the_same_weights_in_either_layout_are_the_same_net(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    for folder, layout in ((first, "channels-first"), (last, "channels-last")):
        folder.mkdir()
        TASKS["convnet"].prepare(folder, layout)
    one, other = tasks.read(first / "data.npz"), tasks.read(last / "data.npz")
    assert (one["images"].transpose(0, 2, 3, 1) == other["images"]).all()
    assert (one["conv2"].transpose(2, 3, 1, 0) == other["conv2"]).all()
    features = numpy.arange(784).reshape(16, 7, 7)
    by_first = one["dense"][features.reshape(-1)]
    assert (by_first == other["dense"][numpy.argsort(features.transpose(1, 2, 0).reshape(-1))]).all()


def test_the_convnet_reference_has_right_gradients() -> None:
    random = numpy.random.default_rng(0)
    weights = {"conv1": random.normal(size=(8, 1, 5, 5)), "conv2": random.normal(size=(16, 8, 5, 5)) / 5}
    net = {**weights, "dense": random.normal(size=(784, 10)) / 20}
    net |= {"conv1_bias": random.normal(size=8), "conv2_bias": random.normal(size=16), "dense_bias": numpy.zeros(10)}
    images, labels = random.normal(size=(3, 1, 28, 28)), numpy.array([1, 7, 3])

    def loss(at: dict[str, numpy.ndarray]) -> float:
        logits = references._convnet_forward(at, images)[-1]
        return float((numpy.log(numpy.exp(logits).sum(1)) - logits[numpy.arange(3), labels]).mean())

    slopes = references._convnet_slopes(net, images, labels)
    for name, slope in slopes.items():
        direction = random.normal(size=slope.shape)
        near = [loss({**net, name: net[name] + step * direction}) for step in (1e-6, -1e-6)]
        assert (near[0] - near[1]) / 2e-6 == pytest.approx(float((slope * direction).sum()), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("planted", [1, 2, 3, 4])
def test_the_nan_is_made_where_it_is_planted_and_nowhere_before(planted: int) -> None:
    given = tasks.nan_data(planted)
    h = given["x"]
    for block in range(1, tasks.BLOCKS + 1):
        h = numpy.maximum(h @ given[f"w{block}"], 0)
        with numpy.errstate(invalid="ignore"):
            h = h / h.sum(1, keepdims=True)
        assert bool(numpy.isnan(h).any()) == (block >= planted)


def test_an_adapter_that_does_not_train_is_asked_only_to_infer(adapter: AdapterSpec) -> None:
    infers = replace(adapter, execution=replace(adapter.execution, scenarios=("infer",)))
    assert {task.purpose for task in programs.asked_of(infers)} == {"infer"}
    assert len(list(programs.asked_of(adapter))) == len(TASKS) == 10
