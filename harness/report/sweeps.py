"""Throughput and memory against the batch, or against the number of threads, where a run has several of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair
import pandas
from altair.utils.schemapi import debug_mode

from harness.report import humanise
from harness.report.charts import PLOT_WIDTH, paint
from harness.report.view import ROOF, Row, View

#: What a sweep runs along, and what stays the same then.
_AXES = {"batch": "threads", "threads": "batch"}
_SHARED = ("model", "scenario", "device", "precision")

#: Values that differ by more than this factor are drawn on a logarithmic axis.
_WIDE = 8.0


@dataclass(frozen=True)
class Sweep:
    """Cells that differ only in `along` and in who they are: (contestant, row), by contestant along the axis."""

    title: str
    along: str
    scope: str
    rows: list[tuple[str, Row]]

    @property
    def values(self) -> list[int]:
        return sorted({row[self.along] for _, row in self.rows})


def find(seen: View) -> list[Sweep]:
    """Every sweep of a run: at least one contestant with a time at two values or more."""
    several = [key for key in (*_SHARED, *_AXES) if len({row[key] for _, _, row in seen.cells()}) > 1]
    groups: dict[tuple[Any, ...], list[tuple[str, Row]]] = {}
    for task in seen.tasks:
        if task.scenario == ROOF or task.scope == "cold":
            continue
        for name, row in task.cells.items():
            for along, fixed in _AXES.items():
                if row["median_ns"] and row[along] is not None:
                    key = (along, task.scope, *(row[key] for key in _SHARED), row[fixed])
                    groups.setdefault(key, []).append((name, row))
    sweeps = []
    for (along, scope, *_), rows in groups.items():
        rows = [(name, row) for name, row in rows if _count(rows, name, along) > 1]
        if rows:
            sweeps.append(Sweep(_title(rows[0][1], along, several), along, scope, rows))
    return sweeps


def _count(rows: list[tuple[str, Row]], name: str, along: str) -> int:
    return len({row[along] for other, row in rows if other == name})


def _title(row: Row, along: str, several: list[str]) -> str:
    words = [row["model"], row["scenario"]]
    words += [str(row[key]) for key in ("device", "precision") if key in several]
    fixed = _AXES[along]
    if fixed in several:
        words.append(f"batch {row[fixed]}" if fixed == "batch" else humanise.many(row[fixed], "thread"))
    return " · ".join(words)


@debug_mode(False)
def chart(sweep: Sweep, seen: View) -> Any:
    """Throughput with its interval, and beneath it the peak of memory where it is known."""
    data = [_point(name, row, sweep.along) for name, row in sweep.rows]
    panels = [_panel(sweep, seen, data, "throughput", "examples a second", "")]
    if any(point["memory"] is not None for point in data):
        panels.append(_panel(sweep, seen, data, "memory", "peak memory", "B"))
    return altair.vconcat(*panels, spacing=10)


def _point(name: str, row: Row, along: str) -> Row:
    examples = row["batch"] or 1
    return {
        "contestant": name,
        "at": row[along],
        "throughput": examples / (row["median_ns"] * 1e-9),
        "low": examples / (row["ci_high_ns"] * 1e-9) if row["ci_high_ns"] else None,
        "high": examples / (row["ci_low_ns"] * 1e-9) if row["ci_low_ns"] else None,
        "memory": row["peak_device_bytes"] if row["peak_device_bytes"] is not None else row["peak_host_bytes"],
    }


def _panel(sweep: Sweep, seen: View, data: list[Row], what: str, title: str, unit: str) -> Any:
    names = [name for name in seen.contestants if any(point["contestant"] == name for point in data)]
    last = what == "memory" or not any(point["memory"] is not None for point in data)
    base = altair.Chart(pandas.DataFrame([point for point in data if point[what] is not None])).encode(
        x=altair.X(
            "at:Q",
            title=sweep.along if last else None,
            scale=_along(sweep.values),
            axis=altair.Axis(values=sweep.values, format="d", labels=last),
        ),
        color=altair.Color(
            "contestant:N",
            scale=altair.Scale(domain=names, range=[paint(name, seen) for name in names]),
            legend=altair.Legend(title=None, orient="bottom", columns=3, symbolOpacity=1),
        ),
    )
    ends = [point[key] for point in data for key in (what, *(("low", "high") if what == "throughput" else ()))]
    y = {
        "title": title,
        "scale": _up(ends),
        "axis": altair.Axis(labelExpr=f"format(datum.value, '~s') + '{unit}'", tickCount=4),
    }
    line = base.mark_line(strokeWidth=2, point=altair.OverlayMarkDef(size=28)).encode(
        y=altair.Y(f"{what}:Q", **y),
        strokeDash=altair.StrokeDash("contestant:N", sort=names, legend=None),
    )
    if what == "memory":
        return line.properties(width=PLOT_WIDTH + 90, height=90)
    bars = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(strokeWidth=4, opacity=0.35)
    bars = bars.encode(y=altair.Y("low:Q", **y), y2="high:Q")
    return altair.layer(bars, line).properties(width=PLOT_WIDTH + 90, height=120)


def _along(values: Sequence[int]) -> Any:
    """Logarithmic for powers of two, so that doublings are equally far apart."""
    if min(values) > 0 and all(value & (value - 1) == 0 for value in values):
        return altair.Scale(type="log", base=2, domain=[min(values), max(values)], nice=False, padding=8)
    return altair.Scale(domain=[min(values), max(values)], nice=False, padding=8)


def _up(values: Iterable[float | None]) -> Any:
    known = [value for value in values if value]
    if max(known) > _WIDE * min(known):
        return altair.Scale(type="log")
    return altair.Scale(zero=True)
