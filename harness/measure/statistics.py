"""From samples to figures: medians, bootstrap intervals, quantiles, paired ratios and verdicts.

Samples taken within one round follow each other and share whatever disturbed the machine just then, so they are
not independent of each other. Rounds are the unit: a round's value is the median of its samples, and intervals
are made by resampling rounds.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import numpy
from numpy.typing import ArrayLike, NDArray

#: Level of every interval.
CONFIDENCE = 0.95

#: The verdict where the data do not show a difference, or were disturbed.
CANNOT_TELL = "cannot tell"

#: The chance with which a difference of the size `detectable` would have been seen.
POWER = 0.8

#: With fewer rounds there is no interval: even from the least to the greatest of 4 values, the chance of
#: covering the median is only 1 - 2 * 0.5**4 = 87.5 %. With 5 it is 93.75 %.
MINIMUM_ROUNDS = 5

#: Number of bootstrap resamples.
RESAMPLES = 4999

#: The generator is seeded for each interval, so that the same journal always gives the same report.
SEED = 20170127

#: A sample that waited for a CPU for more than this share of its time measured its neighbours too.
WAIT_LIMIT = 0.02

#: Where other processes had less than this share of one CPU while a cell was measured, it waited for itself only. (The
#: share is known to a few hundredths: it is counted in ticks of 10 ms.)
OTHERS_LIMIT = 0.2

Floats = NDArray[numpy.float64]
Booleans = NDArray[numpy.bool_]
Integers = NDArray[numpy.int64]


@dataclass(frozen=True)
class Estimate:
    """A median over rounds and its interval; NaN where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


def median_interval(rounds: ArrayLike) -> Estimate:
    """The median of the rounds' values, with a 95 % bootstrap interval.

    rounds: shape (rounds,). BCa, the bias-corrected and accelerated bootstrap: B. Efron, "Better Bootstrap
    Confidence Intervals", Journal of the American Statistical Association 82 (1987), pages 171-185, as
    `scipy.stats.bootstrap` has it; the percentile interval where BCa is degenerate. No interval for fewer than
    `MINIMUM_ROUNDS` rounds.
    """
    values = numpy.asarray(rounds, dtype=numpy.float64)
    if values.size == 0:
        return Estimate()
    middle = float(numpy.median(values))
    if values.size < MINIMUM_ROUNDS:
        return Estimate(middle)
    if values.min() == values.max():
        return Estimate(middle, middle, middle)
    medians = _resampled_medians(values)
    low, high = _bootstrap(values, medians, "BCa")
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = _bootstrap(values, medians, "percentile")
    return Estimate(middle, low, high)


def _bootstrap(values: Floats, medians: Floats, method: str) -> tuple[float, float]:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate BCa warns and returns NaN, which the caller looks for
        interval = stats.bootstrap(
            (values,),
            numpy.median,
            n_resamples=0,
            confidence_level=CONFIDENCE,
            method=method,
            bootstrap_result=SimpleNamespace(bootstrap_distribution=medians),
        ).confidence_interval
    return float(interval.low), float(interval.high)


def _resampled_medians(values: Floats) -> Floats:
    """The medians of `RESAMPLES` resamples: those that `scipy.stats.bootstrap` makes of the sorted values."""
    ascending = numpy.sort(values)
    lower, upper = _middles(len(values))
    return (ascending[lower] + ascending[upper]) / 2


@cache
def _middles(count: int) -> tuple[Integers, Integers]:
    """Which of so many sorted values are in the middle of each resample: its median is the mean of the two. That does
    not depend on what the values are, and finding it anew for each of many cells would take most of a report's time.
    """
    drawn = numpy.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    drawn.partition(((count - 1) // 2, count // 2), axis=1)
    return drawn[:, (count - 1) // 2], drawn[:, count // 2]


def paired_ratio(rounds: ArrayLike, values: ArrayLike, base_rounds: ArrayLike, base_values: ArrayLike) -> Estimate:
    """How much longer one cell takes than the baseline: the median over rounds of value / baseline value.

    rounds, base_rounds: the number of each value's round, without repetitions. Only rounds that both cells took
    part in count: what disturbed a round disturbed both, and cancels in the ratio. The interval is that of
    `median_interval`.
    """
    _, here, there = numpy.intersect1d(rounds, base_rounds, assume_unique=True, return_indices=True)
    return median_interval(numpy.asarray(values)[here] / numpy.asarray(base_values)[there])


def half_width(ratio: Estimate) -> float:
    """Half of an interval over its value: 0.01 where the value is known to one percent. NaN where there is none."""
    return (ratio.high - ratio.low) / (2 * ratio.value)


def detectable(ratio: Estimate) -> float:
    """The least difference from 1 that data as noisy as these would most likely (`POWER`) have shown.

    H. S. Bloom, "Minimum Detectable Effects", Evaluation Review 19 (1995), pages 547-556: the standard error times the
    sum of the normal quantiles of the confidence (two-sided) and of the power. The standard error is read from the
    interval: its half width over the former quantile. Relative to the value, as a share; NaN without an interval.
    """
    from scipy import stats

    level = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    return half_width(ratio) * (level + float(stats.norm.ppf(POWER))) / level


def ranked_interval(values: ArrayLike) -> Estimate:
    """The median and a 95 % interval from one value to another, by the binomial distribution of how many lie below it.

    Cheap and a little wider than `median_interval`: for deciding, while measuring, whether to go on. Source: W. J.
    Conover, "Practical Nonparametric Statistics", 3rd edition (1999), section 3.2. No interval for fewer values than
    reach the confidence (6).
    """
    from scipy import stats

    ordered = numpy.sort(numpy.asarray(values, dtype=numpy.float64))
    if ordered.size == 0:
        return Estimate()
    middle = float(numpy.median(ordered))
    below = int(stats.binom.ppf((1 - CONFIDENCE) / 2, ordered.size, 0.5)) - 1
    return Estimate(middle, float(ordered[below]), float(ordered[-1 - below])) if below >= 0 else Estimate(middle)


def verdict(ratio: Estimate) -> str:
    """ "faster" or "slower" than the baseline where the interval of the ratio excludes 1, else "cannot tell"."""
    if ratio.high < 1:
        return "faster"
    if ratio.low > 1:
        return "slower"
    return CANNOT_TELL


def quantiles(samples: ArrayLike) -> tuple[float, float]:
    """p90 and p99 of samples, linear between neighbours: definition 7 of R. J. Hyndman and Y. Fan, "Sample
    Quantiles in Statistical Packages", The American Statistician 50 (1996), pages 361-365 (numpy's default).
    """
    values = numpy.asarray(samples, dtype=numpy.float64)
    if values.size == 0:
        return math.nan, math.nan
    p90, p99 = numpy.quantile(values, [0.9, 0.99])
    return float(p90), float(p99)


def waited(step_ns: ArrayLike, repetitions: ArrayLike, waited_ns: ArrayLike) -> Booleans:
    """Which samples waited for a CPU for more than `WAIT_LIMIT` of their time. Unknown (NaN) counts as no.

    A sample's time is step_ns * repetitions; waited_ns is of the whole sample. The kernel counts the wait in
    the second field of /proc/PID/task/TID/schedstat (Linux, Documentation/scheduler/sched-stats).
    """
    total = numpy.asarray(step_ns, dtype=numpy.float64) * numpy.asarray(repetitions, dtype=numpy.float64)
    with numpy.errstate(invalid="ignore"):
        return numpy.asarray(numpy.asarray(waited_ns, dtype=numpy.float64) > WAIT_LIMIT * total)


def alone(groups: Integers, turn_ns: ArrayLike, others_ns: ArrayLike) -> Booleans:
    """Which groups of turns had the machine to themselves: others had less than `OTHERS_LIMIT` of one CPU.

    groups: the number of each turn's group, from 0. A group of which something is unknown (NaN) was not alone.
    A framework with more threads than there are cores waits for itself; only with others about is a wait a disturbance.
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    lengths = numpy.bincount(groups, weights=numpy.asarray(turn_ns, dtype=numpy.float64), minlength=count)
    others = numpy.bincount(groups, weights=numpy.asarray(others_ns, dtype=numpy.float64), minlength=count)
    with numpy.errstate(invalid="ignore"):
        return numpy.asarray(others < OTHERS_LIMIT * lengths)


def select(cells: Integers, disturbed: Booleans) -> tuple[Booleans, Booleans]:
    """Which samples the figures are made from, and which cells are contended.

    cells: the number of each sample's cell, from 0. Samples that waited for a CPU are left out, unless that left
    a cell with fewer than half of its samples: then the cell keeps all, and is contended.
    Returns (shape (samples,), shape (cells,)).
    """
    count = numpy.bincount(cells)
    quiet = numpy.bincount(cells, weights=~disturbed, minlength=len(count))
    contended = 2 * quiet < count
    return ~disturbed | contended[cells], contended


def group_medians(groups: Integers, values: Floats) -> tuple[Integers, Floats]:
    """The median of the values of each group: (the groups that occur, ascending, and their medians)."""
    if len(values) == 0:
        return numpy.empty(0, numpy.int64), numpy.empty(0)
    order = numpy.lexsort((values, groups))
    sorted_values = values[order]
    present, starts, counts = numpy.unique(groups[order], return_index=True, return_counts=True)
    lower = sorted_values[starts + (counts - 1) // 2]
    upper = sorted_values[starts + counts // 2]
    return present, (lower + upper) / 2
