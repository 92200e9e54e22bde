"""Scores by weights of the caller, and the wide view."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.ease.metrics import METRICS, row
from harness.errors import HarnessError
from harness.journal import Journal
from harness.results import Run

FIGURES = [
    *(("torch", "lines", task, value) for task, value in (("convnet", 40), ("checkpoint", 20), ("onnx_roundtrip", 5))),
    *(("mxnet", "lines", task, value) for task, value in (("convnet", 60), ("checkpoint", 60), ("onnx_roundtrip", 9))),
    *((name, "done", task, 1) for name in ("torch", "mxnet") for task in ("convnet", "checkpoint")),
    ("torch", "done", "onnx_roundtrip", 0),
    ("mxnet", "done", "onnx_roundtrip", 1),
    ("torch", "caught", "nan_loss", 0),
    ("mxnet", "caught", "nan_loss", 0),
    ("torch", "caught", "wrong_device", 1),
    ("mxnet", "caught", "wrong_device", 0),
    ("torch", "workarounds", "", 0),
    ("mxnet", "workarounds", "", 3),
    ("torch", "install_cold", "cpu", 5.0),
    ("mxnet", "install_cold", "cpu", None),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    with Journal.create(tmp_path / "run") as journal:
        journal.append("run", name="run")
        for adapter, metric, task, value in FIGURES:
            journal.append("ease", **row(adapter, metric, value, "a test", task))
        journal.append("run_end", seconds=1.0)
    return harness.load(tmp_path / "run")


def test_programs_are_summed_over_the_tasks_that_all_have_done_and_the_best_has_a_part_of_one(run: Run) -> None:
    parts = harness.ease.score(run, {"lines": 1})
    assert parts.lines.to_dict() == pytest.approx({"torch": 1.0, "mxnet": 60 / 120})


def test_a_score_is_the_weighted_mean_of_the_parts(run: Run) -> None:
    scores = harness.ease.score(run, {"lines": 1, "caught": 3}).score
    assert scores.to_dict() == pytest.approx({"torch": 1.0, "mxnet": 0.5 / 4})


def test_the_easiest_stands_first(run: Run) -> None:
    assert list(harness.ease.score(run, {"lines": 1}).index) == ["torch", "mxnet"]


def test_where_the_best_is_none_at_all_only_none_at_all_counts(run: Run) -> None:
    assert harness.ease.score(run, {"workarounds": 1}).score.to_dict() == {"torch": 1.0, "mxnet": 0.0}


def test_an_adapter_without_a_figure_has_no_score(run: Run) -> None:
    scores = harness.ease.score(run, {"install_cold": 1, "lines": 1}).score
    assert scores.isna().to_dict() == {"torch": False, "mxnet": True}


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({}, "no weights"),
        ({"line": 1}, "no metric is called 'line'"),
        ({"lines": 0}, "must be more than 0"),
        ({"licence": 1}, "neither easier nor harder"),
        ({"tokens": 1}, "no figures of tokens"),
    ],
)
def test_weights_that_make_no_sense_are_refused(run: Run, weights: dict[str, float], complaint: str) -> None:
    with pytest.raises(HarnessError, match=complaint):
        harness.ease.score(run, weights)


def test_the_wide_view_has_a_row_per_adapter_and_a_column_per_figure(run: Run) -> None:
    wide = harness.ease.wide(run)
    assert list(wide.index) == ["mxnet", "torch"]
    assert wide["lines", "checkpoint"].to_dict() == {"mxnet": 60.0, "torch": 20.0}


def test_every_metric_says_how_it_is_computed() -> None:
    assert all(len(metric.formula) > 20 for metric in METRICS.values())
