"""The page about ease of use."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_report import Outline

import harness
from harness.ease import mistakes, tasks
from harness.ease.metrics import METRICS, Row, row
from harness.journal import Journal
from harness.report import ease, ease_charts
from harness.report.ease import figures_of
from harness.results import Run

ADAPTERS = ("torch", "onnxruntime", "null")


def figures() -> Iterator[Row]:
    for number, adapter in enumerate(ADAPTERS):
        for place, name in enumerate(tasks.TASKS):
            done = float(adapter == "torch" or name != "convnet")
            yield row(adapter, "done", done, "it ran" if done else "cannot: it lacks <layers>", name)
            yield row(adapter, "tokens", 100 + 10 * number + place, f"rosetta/{name}.py", name)
            yield row(adapter, "lines", 10 * (number + 1), f"rosetta/{name}.py", name)
        for place, name in enumerate(mistakes.read()):
            possible = adapter == "torch" or place
            yield row(adapter, "caught", float(place % 2) if possible else None, "exception", name)
        yield row(adapter, "bytes_on_disk", 9e8 / (number + 1), "environment cpu", "cpu")
        yield row(adapter, "import", 1.5 + number, "environment cpu", "cpu")
        yield row(adapter, "shares_with", 1, "on Python 3.11", "torch")
        yield row(adapter, "workarounds", number, "comments")
        yield row(adapter, "newest_release_age", 800, "somewhere 1.2 of 2024-09-01", adapter)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    with Journal.create(tmp_path / "run") as journal:
        journal.append("run", name="run")
        for one in figures():
            journal.append("ease", **one)
        for adapter in ADAPTERS[:2]:
            text = '"""A net."""\n\nimport torch\n\nprint("<b>", 1 < 2)\n'
            about = {"adapter": adapter, "environment": "cpu", "task": "convnet", "text": text, "log": ""}
            outcome = (
                {"outcome": "done", "reason": ""} if adapter == "torch" else {"outcome": "cannot", "reason": "no <x>"}
            )
            journal.append("program", **about, **outcome, seconds=2.0, warnings=0, extra_packages=0)
        seen = {"adapter": "torch", "mistake": "nan_loss", "names_operator": False, "names_shapes": None}
        journal.append("mistake", **seen, way="silence", moment="never", names_line=False, message="", traceback="")
        told = {"mistake": "wrong_layout", "way": "exception", "moment": "first run", "message": "conv: 3 < 19"}
        marks = {"names_operator": True, "names_shapes": True, "names_line": False}
        journal.append("mistake", adapter="torch", **told, **marks, traceback="Error: conv: 3 < 19", lines=1)
        journal.append("workaround", adapter="torch", file="ops.py", line=3, reason="torch lacks <a>")
        journal.append("run_end", seconds=1)
    return harness.load(tmp_path / "run")


@pytest.fixture
def text(run: Run) -> str:
    return ease.html(run)


def test_the_page_is_well_formed_fetches_nothing_and_needs_no_script(text: str) -> None:
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.fetched == [] and "script" not in outline.tags
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.tags["svg"] == 2


def test_what_comes_from_programs_and_messages_is_escaped(text: str) -> None:
    assert "<layers>" not in text and "<x>" not in text and "<a>" not in text
    assert "conv: 3 &lt; 19" in text
    assert "&lt;b&gt;" in text


def test_sums_are_over_the_tasks_that_all_have_done(run: Run) -> None:
    line = next(line for line in ease.overview(figures_of(run)) if line.metric.name == "lines")
    assert line.texts == ["90", "180"]


def test_shares_are_of_the_mistakes_that_can_be_made_in_all(run: Run) -> None:
    line = next(line for line in ease.overview(figures_of(run)) if line.metric.name == "caught")
    assert line.texts == ["10 of 19", "10 of 19"]


def test_the_best_has_no_colour_and_one_twice_as_far_a_third_of_it(run: Run) -> None:
    line = next(line for line in ease.overview(figures_of(run)) if line.metric.name == "lines")
    assert line.depths == pytest.approx([0, 1 / 3])


def test_nothing_against_something_has_the_deepest_colour(run: Run) -> None:
    line = next(line for line in ease.overview(figures_of(run)) if line.metric.name == "workarounds")
    assert line.depths == [0, 1]


def test_the_adapter_that_does_nothing_is_no_framework(text: str) -> None:
    assert ">null<" not in text


def test_silence_stands_out_and_a_message_shows_what_it_names(text: str) -> None:
    assert '<span class="tag silence">silent</span>' in text
    assert re.search(r'class="yes">what</span> <span class="yes">shapes</span> <span class="no">line</span>', text)


def test_every_formula_is_on_the_page(text: str) -> None:
    assert all(metric.formula in html.unescape(text) for metric in METRICS.values())


def test_programs_stand_side_by_side_for_whoever_is_chosen(text: str) -> None:
    assert text.count('type="checkbox"') == 2
    assert "body:has(#show-2:checked) .program-2 { display: block; }" in text


def test_a_run_that_only_read_and_parsed_has_a_page_too(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run") as journal:
        journal.append("run", name="run")
        journal.append("ease", **row("torch", "workarounds", 2, "comments"))
        journal.append("run_end", seconds=1)
    text = ease.html(harness.load(tmp_path / "run"))
    assert "Diagnostics</h2>" not in text and "Adapter effort" in text


def test_every_chart_is_valid_by_the_schema_of_vega_lite(run: Run) -> None:
    figures = figures_of(run)
    for chart in (ease_charts.effort(figures), ease_charts.size_against_import(figures)):
        assert chart is not None and chart.to_dict(validate=True)
