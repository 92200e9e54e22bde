"""How long every framework took until its steps had settled, and what its first step cost."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import humanise
from harness.report.view import ROOF, Row, Task, View
from harness.results import Run

#: A first step of so many settled ones is worth a word.
SLOW_START = 10.0


@dataclass(frozen=True)
class Warmup:
    """settled: when the steps had settled, or that they had not. costs: of loading and of the first step. slow: whether
    the first step took much longer than settled ones."""

    settled: str
    in_time: bool
    costs: str
    slow: bool


def lines(run: Run, seen: View) -> list[tuple[Task, dict[str, Warmup]]]:
    """Every task that was warmed up, by contestant; without those that only find what the machine can do. Frameworks'
    hand-written networks of one model share a line."""
    first = _first_steps(run)
    found: dict[tuple[str, str], tuple[Task, dict[str, Warmup]]] = {}
    for task in [*(task for task in seen.tasks if task.scenario != ROOF), *seen.native]:
        cells = {name: _warmup(row, first.get(row["cell"])) for name, row in task.cells.items()}
        known = {name: one for name, one in cells.items() if one is not None}
        if known:
            found.setdefault((task.name, task.scope), (task, {}))[1].update(known)
    return list(found.values())


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
    times = first_ns / row["median_ns"] if first_ns is not None and row["median_ns"] else 0.0
    slow = times >= SLOW_START
    if first_ns is not None:
        more = f" ({humanise.digits(times, 2)}{humanise.TIMES} a settled one)" if slow else ""
        parts.append(f"first step {humanise.duration(first_ns)}{more}")
    return Warmup(
        settled=_settled(row["settle_ns"]) if in_time else "did not settle within the time",
        in_time=in_time,
        costs=", ".join(parts),
        slow=slow,
    )


def _settled(ns: float | None) -> str:
    return "at once" if ns == 0 else humanise.duration(ns)
