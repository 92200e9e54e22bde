"""How far from the machine's limit every cell is: shares of the roofs that were measured in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair
import pandas
from altair.utils.schemapi import debug_mode

from harness.measure import roofline
from harness.report import humanise
from harness.report.charts import PLOT_WIDTH, STEP, paint
from harness.report.colours import QUIET
from harness.report.view import ROOF, Row, Task, View

#: A share of the compute peak beyond this is no noise of the clock.
IMPOSSIBLE = 1.05

SHARES = {
    "compute_share": "share of the compute peak",
    "memory_share": "share of the memory bandwidth",
}
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left")


@dataclass(frozen=True)
class Roof:
    """The highest rate that was measured: of operations, or of bytes. where: what it holds for."""

    kind: str
    rate: str
    contestant: str
    task: Task
    where: str


def roofs(seen: View) -> list[Roof]:
    """What the shares are shares of: each cell of the scenario `roof` that is all of its own roof."""
    found = []
    for task in seen.tasks:
        for name, row in task.cells.items():
            where = f"{humanise.many(row['threads'], 'thread')}, {row['precision']}, {row['device']}"
            if task.scenario != ROOF or not row["median_ns"]:
                continue
            if task.model == roofline.COMPUTE and row["compute_share"] == 1:
                found.append(Roof("compute peak", operations(row), name, task, where))
            if task.model == roofline.MEMORY and row["memory_share"] == 1:
                found.append(Roof("memory bandwidth", bandwidth(row), name, task, where))
    return found


def shown(seen: View) -> dict[str, list[Task]]:
    """By clock scope, the tasks of which a share is known, without those that made the roofs."""
    found: dict[str, list[Task]] = {}
    for task in [*seen.tasks, *seen.native]:
        if task.scenario != ROOF and any(known_share(row) for row in task.cells.values()):
            found.setdefault(task.scope, []).append(task)
    return found


def known_share(row: Row) -> bool:
    return row["compute_share"] is not None or row["memory_share"] is not None


def impossible(seen: View) -> list[str]:
    """A sentence for every cell that did more than the machine can."""
    return [
        f"{name}, {task.name} ({task.scope}): {humanise.percent(row['compute_share'], 3)} of the compute peak"
        for task, name, row in seen.cells()
        if row["compute_share"] is not None and row["compute_share"] > IMPOSSIBLE
    ]


def cached(seen: View) -> bool:
    """Whether a cell moved more bytes than the memory can: its data stayed in the caches."""
    return any((row["memory_share"] or 0) > 1 for task, _, row in seen.cells() if task.scenario != ROOF)


def operations(row: Row) -> str:
    """Operations a second: "210 GFLOP/s"."""
    return f"{humanise.count(row['flops_per_s'])}FLOP/s" if row["flops_per_s"] is not None else humanise.NOTHING


def bandwidth(row: Row) -> str:
    """Bytes a second that a step must at least move: "12.3 GB/s"."""
    if not (row["traffic_bytes"] and row["median_ns"]):
        return humanise.NOTHING
    return f"{humanise.size(row['traffic_bytes'] / (row['median_ns'] * 1e-9))}/s"


def _ticks(top: float) -> dict[str, Any]:
    """Round shares with the whole roof among them, few enough for their labels."""
    step = 0.25 if top <= 1.1 else 0.5
    return {"values": [step * i for i in range(int(top / step) + 1)]} if top <= 2.5 else {"tickCount": 4}


@debug_mode(False)
def chart(tasks: Sequence[Task], seen: View, share: str) -> Any | None:
    """A mark per contestant, a row per task, on an axis from nothing to the roof. None where nothing is known.

    share: "compute_share" or "memory_share".
    """
    rows = [
        {"task": task.name, "contestant": name, "share": row[share]}
        for task in tasks
        for name, row in task.cells.items()
        if row[share] is not None
    ]
    if not rows:
        return None
    names = [name for name in seen.adapter_of if any(row["contestant"] == name for row in rows)]
    top = max(1.0, *(row["share"] for row in rows))
    x = altair.X(
        "share:Q",
        title=SHARES[share],
        scale=altair.Scale(domain=[0, top * 1.03], nice=False),
        axis=altair.Axis(format=".0%", **_ticks(top)),
    )
    marks = (
        altair.Chart(pandas.DataFrame(rows))
        .mark_point(size=46, strokeWidth=2, opacity=1)
        .encode(
            x=x,
            y=altair.Y(
                "task:N",
                sort=list(dict.fromkeys(task.name for task in tasks)),
                title=None,
                axis=altair.Axis(labelLimit=170),
            ),
            color=altair.Color(
                "contestant:N",
                scale=altair.Scale(domain=names, range=[paint(name, seen) for name in names]),
                legend=altair.Legend(title=None, orient="bottom", columns=3),
            ),
            shape=altair.Shape(
                "contestant:N",
                scale=altair.Scale(domain=names, range=[_SHAPES[i % len(_SHAPES)] for i in range(len(names))]),
            ),
        )
    )
    roof = altair.Chart(pandas.DataFrame({"one": [1.0]})).mark_rule(color=QUIET, strokeDash=[3, 3])
    return altair.layer(roof.encode(x="one:Q"), marks).properties(width=PLOT_WIDTH, height=altair.Step(STEP))
