"""How much of a run was timed or warming-up work, and where the rest of its time went: read from its journal.

Every fact carries the moment at which it was written. What lies between two facts is shared out by what the later one
says: a turn's samples took so long, the turn itself so long, and the rest of the time was spent around it. Counted is
the time from the first comparison on to the end; making environments comes before.

    harness run --suite quick --out RUN
    python benchmarks/quick_share.py RUN
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import _results

from harness import journal
from harness.journal import Fact
from harness.results import find

#: The least share of a quick run that shall be timed or warming-up work, in percent.
LEAST_PERCENT = 60.0

TIMED, WARM, COLD = "timed steps", "steps to warm up", "cold starts"
TURNS = "inside turns: counters, a new start in training"
AROUND_TURNS = "around turns: parking, wire, journal"
AROUND_WARM_UP = "around warm-up: work left behind, wire, journal"
AROUND_COLD = "around cold starts"
BEFORE = "workers start, load, reference, gate"
MODELS = "models: reading, specialising"
AFTER = "after the rounds: memory, what ran, closing"
OTHER = "other"

USEFUL = (TIMED, WARM, COLD)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("run", help="folder of a run")
    arguments.add_argument("--by-comparison", action="store_true", help="also where each comparison's time went")
    given = arguments.parse_args()
    folder = find(given.run)
    facts = journal.read(folder)
    seconds = shares(facts)
    total = sum(seconds.values())
    rows = [[name, value, 100 * value / total] for name, value in sorted(seconds.items(), key=lambda item: -item[1])]
    _results.show(f"{folder}: {total:.1f} s from the first comparison on", ["what", "seconds", "%"], rows)
    if given.by_comparison:
        _show_comparisons(facts)
    useful = 100 * sum(seconds[name] for name in USEFUL) / total
    print(f"Timed or warming-up work: {useful:.1f} % (at least {LEAST_PERCENT:.0f} % is wanted)")
    run = next((fact for fact in facts if fact["kind"] == "run"), {})
    about = {"suite": run.get("suite"), "harness_version": run.get("harness_version"), "seconds": total}
    _results.keep("quick_share", {**about, "useful_percent": useful, "seconds_of": dict(seconds)})
    raise SystemExit(0 if useful >= LEAST_PERCENT else 1)


def shares(facts: Iterable[Fact]) -> dict[str, float]:
    """Seconds by what they were spent on, from the first fact of a model or cell on."""
    found: dict[str, float] = defaultdict(float)
    started = itertools.dropwhile(lambda fact: fact["kind"] not in ("model", "cell"), facts)
    for before, fact in itertools.pairwise(started):
        for what, seconds in _spent(before, fact).items():
            found[what] += seconds
    return found


def _spent(before: Fact, fact: Fact) -> dict[str, float]:
    """What the time between two facts that follow each other was spent on."""
    took = (datetime.fromisoformat(fact["at"]) - datetime.fromisoformat(before["at"])).total_seconds()
    if fact["kind"] == "samples":
        return _spent_on_samples(before, fact, took)
    if fact["kind"] == "model":
        return {MODELS: took}
    if fact["kind"] == "cell" and fact.get("status"):
        return {AFTER if before["kind"] == "samples" else BEFORE if _begins(before) else OTHER: took}
    return {OTHER: took}


def _spent_on_samples(before: Fact, fact: Fact, took: float) -> dict[str, float]:
    work = sum(fact["ns"]) * (fact.get("repetitions") or 1) / 1e9
    phase = fact.get("phase") or "timed"
    if phase == "warmup":
        return {WARM: work, BEFORE if _begins(before) else AROUND_WARM_UP: took - work}
    if phase == "timed":
        turn = max(work, (fact.get("turn_ns") or 0) / 1e9)
        return {TIMED: work, TURNS: turn - work, AROUND_TURNS: took - turn}
    if phase == "total":  # the phases of a cold start before it are parts of it
        return {COLD: work, AROUND_COLD: took - work}
    return {BEFORE if _begins(before) else AROUND_COLD: took}


def _begins(fact: Fact) -> bool:
    """Is it the line that says that a cell has begun?"""
    return fact["kind"] == "cell" and not fact.get("status")


def _show_comparisons(facts: list[Fact]) -> None:
    """A table with a line per comparison: the time between its first cell's beginning and its last cell's end."""
    of_cell = {fact["cell"]: fact["comparison"] for fact in facts if fact["kind"] == "cell"}
    parts: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.get("cell") in of_cell:
            parts[of_cell[fact["cell"]]].append(fact)
    rows = []
    for name, part in parts.items():
        seconds = shares(part)
        total = sum(seconds.values()) or 1.0
        useful = sum(seconds[key] for key in USEFUL)
        rows.append([name, total, 100 * useful / total, seconds[BEFORE], seconds[AFTER]])
    _results.show("By comparison", ["comparison", "seconds", "useful, %", BEFORE, AFTER], rows)


if __name__ == "__main__":
    main()
