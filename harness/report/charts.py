"""The charts, as Altair specifications, and how they become SVG without a browser or a network.

Altair checks every part of a chart against its schema, several times over. That would be most of a page's time, so
tests let it (tests/test_report.py) and reports do not (`debug_mode(False)`, `validate=False`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair
import pandas
import vl_convert
from altair.utils.schemapi import debug_mode

from harness.report import humanise
from harness.report.colours import INK, LINE, PHASES, QUIET, WRONG, colour
from harness.report.view import Row, Task, View

#: Metrically the same as the font that vl-convert brings along, so that text is where it was measured to be.
FONT = "Arial, Liberation Sans, Helvetica, sans-serif"

PLOT_WIDTH = 176
LABEL_WIDTH = 96
STEP = 17

#: Round numbers for axes that span at most so many times their least value.
_TICKS: dict[float, tuple[float, ...]] = {
    6.0: (1, 1.02, 1.05, 1.1, 1.2, 1.3, 1.5, 2, 3, 5, 7, 8, 9, 9.5, 9.8),
    60.0: (1, 2, 5),
    math.inf: (1,),
}
_numbers = itertools.count()


def ratio_domain(tasks: Sequence[Task]) -> tuple[float, float]:
    """The range of ratios and their intervals over all tasks, so that their charts can be compared."""
    ends = [1.0]
    for task in tasks:
        for row in task.cells.values():
            ends += [row[key] for key in ("ratio", "ratio_ci_low", "ratio_ci_high") if row[key]]
    return min(ends) / 1.12, max(ends) * 1.12


@debug_mode(False)
def ratio_chart(tasks: Sequence[Task], view: View, domain: tuple[float, float], title: str = "") -> Any:
    """Time relative to the baseline, on a logarithmic axis: a dot and its interval per contestant, a row per task."""
    panels = [_ratio_panel(task, view, domain, last=task is tasks[-1]) for task in tasks]
    properties = {"title": altair.TitleParams(title, fontSize=14, anchor="start", offset=8)} if title else {}
    return altair.vconcat(*panels, spacing=12, **properties)


def _ratio_panel(task: Task, view: View, domain: tuple[float, float], last: bool) -> Any:
    data = pandas.DataFrame([_ratio_point(name, row, view) for name, row in task.cells.items()])
    base = altair.Chart(data).encode(
        y=altair.Y(
            "contestant:N",
            sort=list(task.cells),
            title=None,
            axis=altair.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, labelLimit=LABEL_WIDTH, ticks=False),
        )
    )
    title = "time relative to the baseline (less is faster)" if last else None
    scale = altair.Scale(type="log", domain=domain, nice=False)
    axis = altair.Axis(values=_ticks(domain), format="~g", labels=last, ticks=last, labelFlush=False)
    hue = altair.Color("colour:N", scale=None)
    fill = altair.condition(
        "datum.verdict == 'cannot tell'", altair.value("white"), altair.Fill("colour:N", scale=None)
    )

    def x(field: str) -> Any:
        return altair.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    one = altair.Chart(pandas.DataFrame({"one": [1.0]})).mark_rule(color=QUIET, strokeDash=[3, 3]).encode(x=x("one"))
    bar = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2)
    bar = bar.encode(x=x("low"), x2="high:Q", color=hue)
    dot = base.transform_filter("isValid(datum.ratio)").mark_point(size=44, strokeWidth=2, opacity=1)
    dot = dot.encode(x=x("ratio"), color=hue, fill=fill)
    ratios = base.mark_text(align="right", fontSize=10, color=INK)
    ratios = ratios.encode(x=altair.value(PLOT_WIDTH + 38), text="ratio_text:N")
    times = base.mark_text(align="right", fontSize=10, color=INK)
    times = times.encode(x=altair.value(PLOT_WIDTH + 88), text="time_text:N")
    status = (
        base.transform_filter("datum.status != 'ok'")
        .mark_text(align="left", fontSize=10.5, fontWeight="bold", color=WRONG)
        .encode(x=altair.value(6), text="status:N")
    )
    return altair.layer(
        *(one, bar, dot, ratios, times, status),
        width=PLOT_WIDTH,
        height=altair.Step(STEP),
        title=altair.TitleParams(task.what, fontSize=11, fontWeight="normal", color=QUIET, anchor="start", offset=4),
    )


def _ratio_point(contestant: str, row: Row, view: View) -> Row:
    timed = row["status"] == "ok"
    return {
        "contestant": contestant,
        "ratio": row["ratio"],
        "low": row["ratio_ci_low"],
        "high": row["ratio_ci_high"],
        "verdict": row["verdict"] or "",
        "status": row["status"],
        "ratio_text": humanise.ratio(row["ratio"]) if timed else "",
        "time_text": humanise.duration(row["median_ns"]) if timed else "",
        "colour": paint(contestant, view),
    }


def _ticks(domain: tuple[float, float]) -> list[float]:
    """About five round numbers of the domain, 1 among them."""
    low, high = domain
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    mantissas = next(ticks for span, ticks in _TICKS.items() if high / low <= span)
    round_numbers = sorted({round(mantissa * 10.0**decade, 10) for decade in decades for mantissa in mantissas})
    inside = [number for number in round_numbers if low <= number <= high]
    chosen = [1.0]
    gap = math.log(high / low) / 6
    for candidates in ([n for n in inside if n > 1], [n for n in reversed(inside) if n < 1]):
        latest = 1.0
        for number in candidates:
            if abs(math.log(number / latest)) >= gap:
                chosen.append(number)
                latest = number
    return sorted(chosen)


@debug_mode(False)
def cold_chart(task: Task) -> Any:
    """The phases of a cold start, one after the other, per contestant."""
    rows, totals = [], []
    for contestant, row in task.cells.items():
        ok = row["status"] == "ok"
        parts = _phase_seconds(row) if ok else {}
        rows += [
            {"contestant": contestant, "phase": phase, "order": order, "seconds": seconds}
            for order, (phase, seconds) in enumerate(parts.items())
        ]
        text = humanise.duration(row["median_ns"]) if ok else row["status"]
        totals.append({"contestant": contestant, "end": sum(parts.values()), "text": text, "ok": ok})
    axis = altair.Axis(minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH, labelLimit=LABEL_WIDTH, ticks=False)
    names = list(task.cells)
    y = altair.Y("contestant:N", sort=names, title=None, axis=axis)
    room = altair.Scale(domain=[0, 1.25 * max(total["end"] for total in totals) or 1], nice=False)
    x = altair.X("seconds:Q", title="seconds (median of each phase)", scale=room, axis=altair.Axis(tickCount=5))
    columns = ["contestant", "phase", "order", "seconds"]
    bars = (
        altair.Chart(pandas.DataFrame(rows, columns=columns))
        .mark_bar(height=11)
        .encode(
            y=y,
            x=x,
            order="order:Q",
            color=altair.Color(
                "phase:N",
                scale=altair.Scale(domain=list(PHASES), range=list(PHASES.values())),
                legend=altair.Legend(title=None, orient="bottom", columns=5, symbolType="square"),
            ),
        )
    )
    ends = (
        altair.Chart(pandas.DataFrame(totals))
        .mark_text(align="left", dx=4, fontSize=10)
        .encode(
            y=y,
            x=altair.X("end:Q"),
            text="text:N",
            color=altair.condition("datum.ok", altair.value(INK), altair.value(WRONG)),
        )
    )
    return altair.layer(bars, ends).properties(width=PLOT_WIDTH + 60, height=altair.Step(STEP + 2))


def _phase_seconds(row: Row) -> dict[str, float]:
    """The median of each phase, and what the median of the whole has beyond their sum."""
    parts = {phase: (row.get(f"{phase.replace(' ', '_')}_ns") or 0.0) / 1e9 for phase in PHASES}
    return {**parts, "other": max(0.0, (row["median_ns"] or 0.0) / 1e9 - sum(parts.values()))}


@debug_mode(False)
def loss_chart(task: Task, view: View) -> Any | None:
    """The losses of the first steps, one line per contestant; None where the journal has none."""
    rows = [
        {"contestant": contestant, "step": step, "loss": loss, "colour": paint(contestant, view)}
        for contestant, row in task.cells.items()
        if row["status"] == "ok"
        for step, loss in enumerate((row["facts"] or {}).get("losses") or [])
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    paints = [paint(name, view) for name in names]
    return (
        altair.Chart(pandas.DataFrame(rows))
        .mark_line(strokeWidth=2, point=altair.OverlayMarkDef(size=28))
        .encode(
            x=altair.X("step:Q", title="step", axis=altair.Axis(tickMinStep=1)),
            y=altair.Y("loss:Q", title="loss", scale=altair.Scale(zero=False), axis=altair.Axis(tickCount=5)),
            color=altair.Color(
                "contestant:N",
                scale=altair.Scale(domain=names, range=paints),
                legend=altair.Legend(title=None, orient="bottom", columns=3),
            ),
            strokeDash=altair.StrokeDash("contestant:N", sort=names, legend=None),
        )
        .properties(width=PLOT_WIDTH + 90, height=140)
    )


def padded_log(values: Sequence[float]) -> dict[str, Any]:
    """Scale and axis: logarithmic, with room for a name beside the last point, marked at 1, 2 and 5."""
    low, high = min(values) / 1.4, max(values) * 2.2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = [mantissa * 10.0**decade for decade in decades for mantissa in (1, 2, 5)]
    return {
        "scale": altair.Scale(type="log", domain=[low, high], nice=False),
        "axis": altair.Axis(values=[tick for tick in ticks if low <= tick <= high], format="~g"),
    }


def paint(contestant: str, view: View) -> str:
    """The colour of a contestant: its adapter's."""
    return colour(view.adapter_of[contestant], view.adapter_of.values())


def _styled(chart: Any) -> Any:
    """The chart itself, in our look. (Altair's `configure` would copy all of it each time.)"""
    chart.config = altair.Config(
        font=FONT,
        background="white",
        padding=8,
        view=altair.ViewConfig(stroke=LINE),
        axis=altair.AxisConfig(
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            labelColor=INK,
            titleColor=QUIET,
            gridColor="#eaeef2",
            domainColor=LINE,
            tickColor=LINE,
        ),
        legend=altair.LegendConfig(labelFontSize=11, labelColor=INK),
        title=altair.TitleConfig(color=INK),
    )
    return chart


def svg(chart: Any, title: str) -> str:
    """A chart as an SVG element to stand inside a page.

    It scales down with its container. Its ids are made unique: two SVGs of one page share one space of names.
    """
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    text = vl_convert.vegalite_to_svg(_styled(chart).to_dict(validate=False), vl_version=version)
    prefix = f"chart{next(_numbers)}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r"url\(#", f"url(#{prefix}", text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1)


def save(chart: Any, path: Path) -> None:
    """A chart as a file: .svg, or .png at twice the size."""
    _styled(chart).save(str(path), scale_factor=2 if path.suffix == ".png" else 1)


def picture(tasks: Sequence[Task], view: View, columns: int = 3) -> Any:
    """The ratio charts of several models side by side."""
    domain = ratio_domain(tasks)
    models = dict.fromkeys(task.model for task in tasks)
    charts = [
        ratio_chart([task for task in tasks if task.model == model], view, domain, title=model) for model in models
    ]
    return altair.concat(*charts, columns=columns, spacing=34)
