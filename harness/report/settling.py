"""How long every framework took until its steps had settled, and what its first step cost."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import humanise
from harness.report.view import Row, Task, View
from harness.results import Run

#: A first step of so many settled ones is worth a word.
SLOW_START = 10.0


@dataclass(frozen=True)
class Warmup:
    """settled: when the steps had settled, or that they had not. costs: of loading and of the first step."""

    settled: str
    in_time: bool
    costs: str
    slow_start: str


def lines(run: Run, seen: View) -> list[tuple[Task, dict[str, Warmup]]]:
    """Every task that was warmed up, by contestant."""
    first = _first_steps(run)
    found = []
    for task in [*seen.tasks, *seen.native]:
        cells = {name: _warmup(row, first.get(row["cell"])) for name, row in task.cells.items()}
        known = {name: one for name, one in cells.items() if one is not None}
        if known:
            found.append((task, known))
    return found


def _first_steps(run: Run) -> dict[str, float]:
    """By cell, the nanoseconds of the first step of its first warm-up."""
    samples = run.samples
    wanted = samples["sample"].eq(0).to_numpy(dtype=bool) & samples["phase"].eq("warmup").to_numpy(dtype=bool)
    first = samples.loc[wanted, ["cell", "ns"]].drop_duplicates("cell")
    return dict(zip(first["cell"], first["ns"], strict=True))


def _warmup(row: Row, first_ns: float | None) -> Warmup | None:
    if row["settled"] is None:
        return None
    in_time = bool(row["settled"])
    parts = []
    load_ns = (row["facts"] or {}).get("load_ns")
    parts += [f"load {humanise.duration(load_ns)}"] if load_ns else []
    parts += [f"first step {humanise.duration(first_ns)}"] if first_ns is not None else []
    slow = first_ns is not None and row["median_ns"] and first_ns > SLOW_START * row["median_ns"]
    return Warmup(
        settled=_settled(row["settle_ns"]) if in_time else "did not settle within the time",
        in_time=in_time,
        costs=", ".join(parts),
        slow_start=f"{humanise.digits(first_ns / row['median_ns'], 2)}{humanise.TIMES} a settled one" if slow else "",
    )


def _settled(ns: float | None) -> str:
    return "at once" if ns == 0 else humanise.duration(ns)
