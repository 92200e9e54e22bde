"""When a framework has warmed up: once no change point is left in the times of its steps.

A fixed number of warm-up steps is too many for one framework and too few for another (one compiles at the first step,
one tries algorithms for a while, one does neither). So steps are taken until they have settled, and how long that took
is a result.
"""

from __future__ import annotations

import itertools
import math

import numpy
from numpy.typing import ArrayLike

from harness.measure.statistics import Floats, Integers

#: Steps are looked at in at most this many groups of equal size, each by its median.
GROUPS = 48

#: With fewer groups there is no verdict: with 11 not even the greatest possible change would be significant.
LEAST_GROUPS = 12

#: A change is one where chance would show as much less often than this, ...
SIGNIFICANCE = 0.05

#: ... and where the level moves by more than this share. A steady drift of a percent is the machine's, not a warm-up's.
SHIFT = 0.05

#: First steps that took this many times the settled level belong to the warm-up, however few they are.
SLOW_START = 1.5


def change_point(values: Floats) -> tuple[int, float]:
    """Where the level of a series is most likely to change: (values before the change, chance of that much by chance).

    Pettitt's test: A. N. Pettitt, "A Non-Parametric Approach to the Change-Point Problem", Journal of the Royal
    Statistical Society C 28 (1979), pages 126-135: U(t) = 2 * sum of the first t ranks - t (n + 1), K = max |U(t)|,
    p = 2 exp(-6 K**2 / (n**3 + n**2)).
    """
    from scipy import stats

    count = len(values)
    if count < 2:
        return 0, 1.0
    sums = 2 * numpy.cumsum(stats.rankdata(values)) - numpy.arange(1, count + 1) * (count + 1)
    before = int(numpy.argmax(numpy.abs(sums[:-1]))) + 1
    greatest = float(abs(sums[before - 1]))
    return before, min(1.0, 2 * math.exp(-6 * greatest**2 / (count**3 + count**2)))


def settled_after(ns: ArrayLike) -> int | None:
    """How many of the first steps belong to the warm-up; None where the steps have not settled yet.

    ns: nanoseconds of each step, in order.
    """
    steps = numpy.asarray(ns, dtype=numpy.float64)
    bounds = numpy.linspace(0, len(steps), min(GROUPS, len(steps)) + 1).astype(numpy.int64)
    levels = _levels(steps, bounds)
    first = 0
    while len(levels) - first >= LEAST_GROUPS:
        left = levels[first:]
        before, chance = change_point(left)
        moved = abs(float(numpy.median(left[:before])) - float(numpy.median(left[before:])))
        if chance >= SIGNIFICANCE or moved <= SHIFT * float(numpy.median(left[before:])):
            return _after_slow_start(steps, int(bounds[first]))
        first += before
    return None


def _levels(steps: Floats, bounds: Integers) -> Floats:
    return numpy.array([numpy.median(steps[i:j]) for i, j in itertools.pairwise(bounds)])


def _after_slow_start(steps: Floats, first: int) -> int:
    level = float(numpy.median(steps[first:]))
    while steps[first] > SLOW_START * level:
        first += 1
    return first
