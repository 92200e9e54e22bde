"""The figures of `Run.ease` side by side, and one number of them for whoever says what counts how much."""

from __future__ import annotations

from collections.abc import Mapping

import pandas

from harness.ease.metrics import LESS, METRICS, NEITHER, PROGRAMS
from harness.errors import HarnessError, did_you_mean
from harness.results import Run


def wide(run: Run) -> pandas.DataFrame:
    """A row per adapter and a column per (metric, task); NaN where there is no figure."""
    return run.ease.pivot(index="adapter", columns=["metric", "task"], values="value")


def score(run: Run, weights: Mapping[str, float]) -> pandas.DataFrame:
    """How easy each adapter is by weights that the caller chooses; the harness has none of its own.

    weights: by metric, each more than 0. A row per adapter, easiest first: a column per metric, from 0 to 1, and
    `score`, their weighted mean. A metric's part is the best adapter's value over this one's where less is easier, and
    this one's over the best's where more is; a value is the sum over the metric's tasks that every adapter has a
    figure for (of programs: that every adapter has done). Where the best is 0, 0 has a part of 1 and all else of 0. An
    adapter without a figure has no part, and no score. Raises HarnessError for a metric that there is not, or that is
    neither easier nor harder.
    """
    if not weights:
        raise HarnessError("no weights: a score needs at least one metric", "For example: {'lines': 1, 'caught': 2}")
    for metric, weight in weights.items():
        if metric not in METRICS:
            raise HarnessError(f"no metric is called {metric!r}", did_you_mean(metric, list(METRICS)))
        if METRICS[metric].easier == NEITHER:
            raise HarnessError(f"{metric} is neither easier nor harder: it cannot be scored")
        if not weight > 0:
            raise HarnessError(f"the weight of {metric} is {weight!r}; it must be more than 0")
    values = wide(run)
    parts = pandas.DataFrame({metric: _parts(metric, _totals(metric, values)) for metric in weights})
    shares = pandas.Series(weights, dtype=float) / sum(weights.values())
    parts["score"] = (parts[list(weights)] * shares).sum(axis=1, skipna=False)
    return parts.sort_values("score", ascending=False)


def _totals(metric: str, values: pandas.DataFrame) -> pandas.Series[float]:
    """Each adapter's sum over the tasks that all can be compared by."""
    if metric not in values.columns.get_level_values(0):
        raise HarnessError(f"this run has no figures of {metric}", "Measure them: harness run --scenarios ease")
    table = values.xs(metric, axis=1, level=0)
    if METRICS[metric].group == PROGRAMS and metric != "done" and "done" in values.columns.get_level_values(0):
        done = values.xs("done", axis=1, level=0).reindex(columns=table.columns)
        table = table.loc[:, done.eq(1).all()]
    shared = table.dropna(axis=1) if table.notna().all().any() else table
    return shared.sum(axis=1, min_count=1)


def _parts(metric: str, totals: pandas.Series[float]) -> pandas.Series[float]:
    less = METRICS[metric].easier == LESS
    best = totals.min() if less else totals.max()
    if best == 0:
        return totals.eq(0).astype(float).where(totals.notna())
    return best / totals if less else totals / best
