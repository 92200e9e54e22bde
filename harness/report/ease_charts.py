"""The charts of the page about ease of use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair
import pandas
from altair.utils.schemapi import debug_mode

from harness.ease.tasks import TASKS
from harness.report.charts import padded_log
from harness.report.colours import INK, colour

if TYPE_CHECKING:
    from harness.report.ease import Figures

_WIDTH = 460


@debug_mode(False)
def effort(figures: Figures) -> Any | None:
    """Tokens of each program by task, a dot per framework; hollow where the framework cannot do the task."""
    rows = [
        {
            "task": TASKS[task].title,
            "adapter": adapter,
            "tokens": tokens,
            "done": figures.value(adapter, "done", task) == 1,
        }
        for task in TASKS
        for adapter in figures.adapters
        if (tokens := figures.value(adapter, "tokens", task)) is not None
    ]
    if not rows:
        return None
    names = list(figures.adapters)
    scale = altair.Scale(domain=names, range=[colour(name, names) for name in names])
    legend = altair.Legend(title=None, orient="top", columns=5, symbolStrokeWidth=2)
    hue = altair.Color("adapter:N", scale=scale, legend=legend)
    order = [TASKS[task].title for task in TASKS]
    axis = altair.Axis(title=None, labelLimit=300, ticks=False, grid=True)
    base = altair.Chart(pandas.DataFrame(rows)).encode(
        y=altair.Y("task:N", sort=order, axis=axis),
        yOffset=altair.YOffset("adapter:N", sort=names),
        x=altair.X("tokens:Q", title="tokens (less is easier); hollow: cannot do it", scale=altair.Scale(zero=True)),
    )
    stems = base.mark_bar(height=1.5).encode(color=hue)
    fill = altair.condition("datum.done", altair.Fill("adapter:N", scale=scale, legend=None), altair.value("white"))
    dots = base.mark_point(size=42, strokeWidth=2, opacity=1).encode(color=hue, fill=fill)
    return altair.layer(stems, dots).properties(width=_WIDTH, height=altair.Step(9))


@debug_mode(False)
def size_against_import(figures: Figures) -> Any | None:
    """The size of an environment against the time that importing its framework takes."""
    places = {adapter: figures.tasks("bytes_on_disk", adapter) for adapter in figures.adapters}
    rows = [
        {
            "name": adapter if len(places[adapter]) == 1 else f"{adapter} {place}",
            "seconds": seconds,
            "megabytes": size / 1e6,
            "colour": colour(adapter, figures.adapters),
        }
        for adapter in figures.adapters
        for place in places[adapter]
        if (size := figures.value(adapter, "bytes_on_disk", place))
        and (seconds := figures.value(adapter, "import", place))
    ]
    if not rows:
        return None
    table = pandas.DataFrame(rows)
    base = altair.Chart(table).encode(
        x=altair.X("seconds:Q", title="import (seconds)", **padded_log(list(table.seconds))),
        y=altair.Y("megabytes:Q", title="size on disk (MB)", **padded_log(list(table.megabytes))),
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(color=altair.Color("colour:N", scale=None))
    names = base.mark_text(align="left", dx=8, fontSize=11, color=INK).encode(text="name:N")
    return altair.layer(dots, names).properties(width=_WIDTH, height=240)
