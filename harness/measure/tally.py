"""What a cell's turns have given so far: its rounds' medians, by the same rules as the final figures."""

from __future__ import annotations

from typing import Any

import numpy

from harness.measure import statistics
from harness.measure.statistics import Floats


class Tally:
    """Turns of one cell, as its worker replied."""

    def __init__(self) -> None:
        self._turns: list[tuple[int, Floats, Floats]] = []
        self._turn_ns: list[float] = []
        self._others_ns: list[float] = []
        self._joules: list[dict[str, float]] = []
        self._steps = 0

    def add(self, number: int, reply: dict[str, Any]) -> None:
        """The turn of round `number`."""
        step = numpy.asarray(reply["ns"], dtype=numpy.float64)
        waited = numpy.asarray(reply["waited_ns"], dtype=numpy.float64)
        self._turns.append((number, step, waited / (step * reply["repetitions"])))
        self._joules.append(reply.get("joules") or {})
        self._steps += len(step) * reply["repetitions"]
        self._turn_ns.append(float(reply["turn_ns"]))
        self._others_ns.append(float("nan") if reply["others_ns"] is None else float(reply["others_ns"]))

    def joules_per_step(self, source: str) -> float | None:
        """Energy by the counters whose names begin so, over all turns; None where there are none. What the device takes
        when it is idle is in it."""
        counted = [value for turn in self._joules for name, value in turn.items() if name.startswith(source)]
        return sum(counted) / self._steps if counted and self._steps else None

    def rounds(self) -> dict[int, float]:
        """{round: median nanoseconds of a step}, of samples that did not wait for other processes."""
        if not self._turns:
            return {}
        one_group = numpy.zeros(len(self._turns), numpy.int64)
        alone = bool(statistics.alone(one_group, self._turn_ns, self._others_ns)[0])
        quiet = {}
        for number, step, share in self._turns:
            kept = step if alone else step[~(share > statistics.WAIT_LIMIT)]
            if len(kept):
                quiet[number] = float(numpy.median(kept))
        return quiet
