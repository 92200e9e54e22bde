"""The timed part of a comparison: cells warm up until they have settled, then take turns, everybody else parked.

Rounds go on until every ratio is known as exactly as was asked, or the time for the comparison is spent.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy

from harness.gate import guarded
from harness.live import LiveCell
from harness.matrix import baseline
from harness.measure import settling, statistics
from harness.measure.energy import Meter
from harness.results import NULL_ADAPTER
from harness.suite import Settings

#: Steps are looked at for a change point after every so many seconds of warm-up.
_SLICE_SECONDS = 0.1

#: Every so many rounds it is looked at how exactly the ratios are known.
_LOOK_EVERY = 5

#: Steps that are examined for work left behind last at least this long together.
_EXAMINED_NS = 2_000_000

#: Who leaves work behind does so each time; a neighbour disturbs now and then.
_EXAMINATIONS = 3

#: Work left behind that is longer than this share of the steps themselves is no noise.
_LATE_SHARE = 0.25

#: Nor is what is longer than this share of the fetch itself: copying much memory does not take the same time twice.
_FETCH_SHARE = 0.5

#: Writes the samples of one turn: (cell, round, place in the round, phase, what the worker replied).
Writer = Callable[[LiveCell, int, int, str, dict[str, Any]], None]


class Rounds:
    """Measures comparisons. shuffle: decides the order of turns. write: called with every turn's samples. meter:
    counters of energy, read at both ends of a turn: only one worker runs between."""

    def __init__(self, settings: Settings, shuffle: random.Random, write: Writer, meter: Meter):
        self.settings, self._shuffle, self._write, self._meter = settings, shuffle, write, meter

    def warm_up(self, one: LiveCell) -> None:
        """Take steps until their times have settled, at most `warm_up_seconds`; from the settled ones follows how many
        repetitions make a sample. Then see that none of the work was left behind."""
        times: list[int] = []
        after: int | None = None
        begin = time.monotonic()
        while after is None and (len(times) < 3 or time.monotonic() - begin < self.settings.warm_up_seconds):
            budget = min(_SLICE_SECONDS, self.settings.warm_up_seconds)
            reply = one.ask_steps("warm_up", budget_ns=int(budget * 1e9))
            times += reply["ns"]
            after = settling.settled_after(times)
        one.settled = after is not None
        one.settle_ns = sum(times[:after]) if after is not None else None
        late = times[after:] if after is not None else times[len(times) // 2 :]
        typical = max(1.0, float(numpy.median(late)))
        one.repetitions = max(1, math.ceil(self.settings.sample_seconds * 1e9 / typical))
        self._write(one, 0, 0, "warmup", {"ns": times, "repetitions": 1})
        if one.cell.adapter != NULL_ADAPTER:
            self._examine(one, typical)

    def _examine(self, one: LiveCell, typical_ns: float) -> None:
        """A framework whose work goes on after it said that it was done would look faster than it is."""
        repetitions = max(1, math.ceil(_EXAMINED_NS / typical_ns))
        inputs = str(one.workload.inputs())
        for _ in range(_EXAMINATIONS):
            found = one.ask("late_work", what=one.cell.purpose, inputs=inputs, repetitions=repetitions)
            noise = max(_LATE_SHARE * max(found["steps_ns"], _EXAMINED_NS), _FETCH_SHARE * found["fetch_ns"])
            if found["late_ns"] <= noise:
                return
        one.finding.object(
            f"synchronize() returns before the work is done: by our clock {repetitions} steps took "
            f"{found['steps_ns'] / 1e6:.3g} ms, and a result then came {found['late_ns'] / 1e6:.3g} ms later than "
            "it comes after a pause"
        )
        one.object()

    def take(self, live: list[LiveCell], begin: int) -> int:
        """Rounds from number `begin` on; the number after the last."""
        deadline = time.monotonic() + self.settings.comparison_seconds
        number = begin
        while number < begin + self.settings.max_rounds:
            turns = [one for one in live if one.well]
            done = number - begin
            if not turns or (done >= self.settings.min_rounds and time.monotonic() > deadline):
                break
            if done >= self.settings.min_rounds and done % _LOOK_EVERY == 0 and self._exact_enough(turns):
                break
            self._shuffle.shuffle(turns)
            for order, one in enumerate(turns):
                guarded([one], lambda one: self._take_turn(one, number, order))  # noqa: B023
            number += 1
        return number

    def _exact_enough(self, cells: list[LiveCell]) -> bool:
        """Is every ratio known to the precision that was asked for?"""
        wanted = self.settings.precision
        rivals = [one for one in cells if one.cell.adapter != NULL_ADAPTER]
        if not wanted or not rivals:
            return False
        base = rivals[baseline([(one.cell.adapter, one.cell.mode) for one in rivals])]
        there = base.tally.rounds()
        for one in rivals:
            here = one.tally.rounds()
            both = sorted(here.keys() & there.keys())
            values = [here[n] if one is base else here[n] / there[n] for n in both]
            if not statistics.half_width(statistics.ranked_interval(values)) <= wanted:
                return False
        return True

    def _take_turn(self, one: LiveCell, number: int, order: int) -> None:
        before = self._meter.read()
        budget = int(self.settings.turn_seconds * 1e9)
        reply = one.ask_steps("turn", repetitions=one.repetitions, budget_ns=budget)
        reply["joules"] = self._meter.difference(before, self._meter.read())
        one.tally.add(number, reply)
        self._write(one, number, order, "timed", reply)
