"""The page about ease of use: what was computed, side by side, with every formula; no grand score."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from harness.ease import mistakes as planted
from harness.ease.effort import MISSING, ROADS
from harness.ease.metrics import ADAPTER, DIAGNOSTICS, LESS, METRICS, PROGRAMS, STARTING, STATUS, Metric
from harness.ease.tasks import TASKS
from harness.report import ease_charts, humanise, page
from harness.report.charts import svg
from harness.report.colours import colour
from harness.report.view import Row, adapter_rank, records
from harness.results import NULL_ADAPTER, Run

#: Groups of metrics in the order of the page, and what each is about.
GROUPS = {
    PROGRAMS: "The Rosetta programs: the same tasks, as each framework's users would write them",
    DIAGNOSTICS: "Planted mistakes: what the user is told",
    STARTING: "Getting started: from nothing to a first result",
    ADAPTER: "What it took to express ONNX in it",
    STATUS: "The state of the project",
}

#: A number and its text, for one adapter; None where it has none.
Value = tuple[float, str] | None

#: A ratio to the best from which on a cell of the overview has the deepest colour.
_FAR = 8.0


@dataclass(frozen=True)
class Figures:
    """The figures of a run by (adapter, metric, task), and the adapters that have any, in the report's order."""

    rows: dict[tuple[str, str, str], Row]
    adapters: list[str]

    def value(self, adapter: str, metric: str, task: str = "") -> float | None:
        row = self.rows.get((adapter, metric, task))
        return None if row is None else row["value"]

    def source(self, adapter: str, metric: str, task: str = "") -> str:
        row = self.rows.get((adapter, metric, task))
        return "" if row is None else row["source"] or ""

    def tasks(self, metric: str, adapter: str | None = None) -> list[str]:
        """The tasks of a metric that any adapter, or this one, has a row for."""
        return list(dict.fromkeys(t for a, m, t in self.rows if m == metric and adapter in (None, a)))

    def done_by_all(self) -> list[str]:
        """Rosetta tasks that every adapter has done: only these can be summed and compared."""
        return [task for task in TASKS if all(self.value(name, "done", task) == 1 for name in self.adapters)]

    def made_in_all(self) -> list[str]:
        """Mistakes that can be made in every framework."""
        return [
            name for name in planted.read() if all(self.value(one, "caught", name) is not None for one in self.adapters)
        ]


@dataclass(frozen=True)
class Line:
    """A line of the overview: a metric, its text for each adapter, and how far each is from the best, 0 to 1."""

    metric: Metric
    title: str
    texts: list[str]
    depths: list[float | None]


def html(run: Run) -> str:
    """The page of a run that measured ease of use."""
    figures = figures_of(run)
    attempts = {(row["adapter"], row["task"]): row for row in records(run.programs)}
    diagnoses = {(row["adapter"], row["mistake"]): row for row in records(run.mistakes)}
    return (
        page.environment()
        .get_template("ease.html.j2")
        .render(
            run=run,
            h=humanise,
            style=Markup(page.style() + _highlighting()),
            adapters=figures.adapters,
            paint=lambda name: colour(name, figures.adapters),
            warnings=page.all_warnings(run),
            machine=page.machine(run),
            about=page.about(run),
            overview=overview(figures),
            everyone=len(figures.done_by_all()),
            everyone_told=len(figures.made_in_all()),
            task_count=len(TASKS),
            mistake_count=len(planted.read()),
            effort_chart=_drawn(ease_charts.effort(figures), "Tokens of each program"),
            start_chart=_drawn(ease_charts.size_against_import(figures), "Size on disk against import time"),
            tasks=TASKS,
            attempts=attempts,
            totals=_totals(figures),
            programs=_programs(figures, attempts),
            mistakes=planted.read(),
            diagnoses=diagnoses,
            told=_told(figures),
            starting=_by_environment(figures, STARTING),
            starting_metrics=_of_environments(STARTING),
            packages=_by_task(figures, ("interpreters", "platforms", "pins")),
            sharing={
                (a, b): figures.rows.get((a, "shares_with", b)) for a in figures.adapters for b in figures.adapters
            },
            effort=_effort(figures),
            workarounds=_workarounds(run),
            status=_by_task(figures, tuple(name for name, one in METRICS.items() if one.group == STATUS)),
            formulas={title: [one for one in METRICS.values() if one.group == name] for name, title in GROUPS.items()},
            text=text,
            figures=figures,
            METRICS=METRICS,
        )
    )


def figures_of(run: Run) -> Figures:
    """The figures of a run, without those of the adapter that does nothing."""
    rows = {
        (row["adapter"], row["metric"], row["task"] or ""): row
        for row in records(run.ease)
        if row["adapter"] != NULL_ADAPTER and row["metric"] in METRICS
    }
    adapters = sorted(dict.fromkeys(adapter for adapter, _, _ in rows), key=adapter_rank)
    return Figures(rows, adapters)


def text(value: float | None, metric: str) -> str:
    """A figure with its unit, for a table."""
    one = METRICS[metric]
    if value is None or not humanise.known(value):
        return humanise.NOTHING
    if metric == "requires_python":
        return f"3.{value:.0f}"
    if one.unit == "yes or no":
        return "yes" if value else "no"
    if one.unit == "bytes":
        return humanise.size(value)
    if one.unit == "seconds":
        return humanise.seconds(value)
    if one.unit == "days":
        return f"{value / 365.25:.1f} years" if value >= 365 else f"{value:.0f} days"
    if one.unit == "year":
        return f"{value:.0f}"
    return f"{value:,.0f}" if float(value).is_integer() else humanise.digits(value)


def overview(figures: Figures) -> list[Line]:
    """A line per metric of the overview. Sums are over what every adapter has, so that none is ahead for lacking it."""
    lines = []
    for title, name, gather in _OVERVIEW:
        values = gather(figures, name)
        numbers = [None if value is None else value[0] for value in values]
        known = [number for number in numbers if number is not None]
        if known:
            easier = METRICS[name].easier
            best = min(known) if easier == LESS else max(known)
            texts = [humanise.NOTHING if value is None else value[1] for value in values]
            lines.append(Line(METRICS[name], title, texts, [_depth(number, best, easier) for number in numbers]))
    return lines


def _depth(value: float | None, best: float | None, easier: str) -> float | None:
    """0 for the best, 1 for one that is `_FAR` times worse or more."""
    if value is None or best is None:
        return None
    if value == best:
        return 0.0
    worse, better = (value, best) if easier == LESS else (best, value)
    if better <= 0 or worse <= 0:
        return 1.0
    return min(1.0, math.log(worse / better) / math.log(_FAR))


def _each(figures: Figures, of: Callable[[str], float | None], metric: str) -> list[Value]:
    """A value and its text for every adapter."""
    values = [of(adapter) for adapter in figures.adapters]
    return [None if value is None else (value, text(value, metric)) for value in values]


def _first(figures: Figures, metric: str) -> list[Value]:
    """The figure of a metric whose task is an environment or a package: the first that has one."""

    def first(adapter: str) -> float | None:
        values = [figures.value(adapter, metric, task) for task in figures.tasks(metric, adapter)]
        return next((value for value in values if value is not None), None)

    return _each(figures, first, metric)


def _sums(figures: Figures, metric: str) -> list[Value]:
    """Over the Rosetta tasks that every framework has done."""
    tasks = figures.done_by_all()

    def total(adapter: str) -> float | None:
        values = [value for task in tasks if (value := figures.value(adapter, metric, task)) is not None]
        return sum(values) if tasks and len(values) == len(tasks) else None

    return _each(figures, total, metric)


def _out_of(counted: list[float], total: int) -> Value:
    """How many of a total."""
    return (sum(counted), f"{sum(counted):.0f} of {total}") if counted else None


def _done(figures: Figures, metric: str) -> list[Value]:
    """Rosetta tasks done, of all."""
    result: list[Value] = []
    for adapter in figures.adapters:
        values = [figures.value(adapter, metric, task) or 0.0 for task in figures.tasks(metric, adapter)]
        result.append(_out_of(values, len(TASKS)))
    return result


def _shares(figures: Figures, metric: str) -> list[Value]:
    """Of the mistakes that can be made in all frameworks, and have the thing at all: how many."""
    tasks = figures.made_in_all()
    asked = [task for task in tasks if any(figures.value(one, metric, task) is not None for one in figures.adapters)]
    result: list[Value] = []
    for adapter in figures.adapters:
        known = [value for task in asked if (value := figures.value(adapter, metric, task)) is not None]
        result.append(_out_of(known, len(asked)))
    return result


def _medians(figures: Figures, metric: str) -> list[Value]:
    """Over the mistakes that every framework catches."""
    shared = [t for t in figures.made_in_all() if all(figures.value(a, "caught", t) == 1 for a in figures.adapters)]

    def median(adapter: str) -> float | None:
        values = [value for task in shared if (value := figures.value(adapter, metric, task)) is not None]
        return statistics.median(values) if values else None

    return _each(figures, median, metric)


def _others(figures: Figures, metric: str) -> list[Value]:
    """How many of the other frameworks, of all."""
    result: list[Value] = []
    for adapter in figures.adapters:
        others = [figures.value(adapter, metric, other) for other in figures.adapters if other != adapter]
        known = [value for value in others if value is not None]
        result.append(_out_of(known, len(known)))
    return result


#: The lines of the overview: title, metric, and how its figures become one for each adapter.
_OVERVIEW: tuple[tuple[str, str, Callable[[Figures, str], list[Value]]], ...] = (
    ("Rosetta tasks done", "done", _done),
    ("lines of its programs", "lines", _sums),
    ("tokens", "tokens", _sums),
    ("cyclomatic complexity", "complexity", _sums),
    ("API names", "api_names", _sums),
    ("concepts", "concepts", _sums),
    ("warnings printed", "warnings", _sums),
    ("mistakes caught", "caught", _shares),
    ("messages that name what is at fault", "names_operator", _shares),
    ("messages that tell expected and got", "names_shapes", _shares),
    ("messages that lead to the user's line", "names_line", _shares),
    ("lines of a traceback, median", "traceback_lines", _medians),
    ("download", "download_bytes", _first),
    ("on disk", "bytes_on_disk", _first),
    ("install, cold cache", "install_cold", _first),
    ("import", "import", _first),
    ("start to first inference", "first_inference", _first),
    ("start to first training step", "first_step", _first),
    ("frameworks it can share with", "shares_with", _others),
    ("lines of the adapter", "adapter_lines", _first),
    ("workarounds in the adapter", "workarounds", _first),
    ("age of the newest release", "newest_release_age", _first),
)


def _totals(figures: Figures) -> list[tuple[str, list[str]]]:
    """Each metric of programs, summed over the tasks that all have done."""
    metrics = [one for one in METRICS.values() if one.group == PROGRAMS and one.name != "done"]
    return [(one.title, _texts(_sums(figures, one.name))) for one in metrics if figures.done_by_all()]


def _texts(values: list[Value]) -> list[str]:
    return [humanise.NOTHING if value is None else value[1] for value in values]


def _programs(figures: Figures, attempts: dict[tuple[str, str], Row]) -> dict[str, list[tuple[str, Row, Markup]]]:
    """By task: every adapter that has a program for it, its row, and its highlighted text."""
    found: dict[str, list[tuple[str, Row, Markup]]] = {}
    formatter, lexer = HtmlFormatter(nowrap=True), PythonLexer()
    for task in TASKS:
        for adapter in figures.adapters:
            row = attempts.get((adapter, task))
            if row is not None and row["text"]:
                code = Markup(highlight(row["text"], lexer, formatter))
                found.setdefault(task, []).append((adapter, row, code))
    return found


def _highlighting() -> str:
    """The colours of programs, light and dark."""
    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    return f"\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n.code {{ background: var(--shade); }}\n"


def _told(figures: Figures) -> list[tuple[str, list[str]]]:
    """Of the mistakes that can be made in every framework: how many of each kind, by adapter."""
    shares = ("caught", "names_operator", "names_shapes", "names_line")
    medians = ("traceback_lines", "traceback_frames", "user_frames")
    return [
        *((METRICS[name].title, _texts(_shares(figures, name))) for name in shares),
        *((f"{METRICS[name].title}, median", _texts(_medians(figures, name))) for name in medians),
    ]


def _by_environment(figures: Figures, group: str) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(adapter, environment, [(text, source)]) for the metrics of a group whose task is an environment."""
    metrics = _of_environments(group)
    lines = []
    for adapter in figures.adapters:
        places = dict.fromkeys(place for metric in metrics for place in figures.tasks(metric, adapter))
        for place in places:
            cells = [
                (text(figures.value(adapter, metric, place), metric), figures.source(adapter, metric, place))
                for metric in metrics
            ]
            lines.append((adapter, place, cells))
    return lines


def _of_environments(group: str) -> list[str]:
    """The metrics of a group that are about an environment."""
    return [name for name, one in METRICS.items() if one.group == group and one.task == "environment"]


def _by_task(figures: Figures, metrics: tuple[str, ...]) -> dict[str, list[tuple[str, str, str, str]]]:
    """By title of the metric: (adapter, task, text, source) of each figure."""
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for metric in metrics:
        for adapter in figures.adapters:
            for task in figures.tasks(metric, adapter):
                cell = text(figures.value(adapter, metric, task), metric), figures.source(adapter, metric, task)
                found.setdefault(METRICS[metric].title, []).append((adapter, task, *cell))
    return found


def _effort(figures: Figures) -> list[tuple[str, list[tuple[str, str]]]]:
    """A line per figure of what an adapter needed: its title, and text and source for each adapter."""
    wanted = [(METRICS[name].title, name, "") for name in METRICS if METRICS[name].group == ADAPTER]
    wanted = [entry for entry in wanted if METRICS[entry[1]].task == ""]
    wanted += [(f"operators: {road}", "operators", road) for road in (*ROADS, MISSING)]
    return [
        (
            title,
            [(text(figures.value(a, name, task), name), figures.source(a, name, task)) for a in figures.adapters],
        )
        for title, name, task in wanted
    ]


def _workarounds(run: Run) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(
        records(run.workarounds), key=lambda row: (*adapter_rank(row["adapter"]), row["file"], row["line"])
    ):
        found.setdefault(row["adapter"], []).append(row)
    return found


def _drawn(chart: Any | None, title: str) -> Markup | None:
    return None if chart is None else Markup(svg(chart, title))
