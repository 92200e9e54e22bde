"""Memory and energy: what every source says, side by side, and where two of them cannot both be true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.report import humanise
from harness.report.view import ROOF, Row, Task, View, records
from harness.results import Run

#: Sources in the order of the table; others follow.
_SOURCES = (
    "floor",
    "resident peak",
    "resident before",
    "heaps",
    "allocator peak",
    "device",
    "control group",
    "control group peak",
)


def truth(cells: Iterable[tuple[Task, str, Row]]) -> dict[str, Any] | None:
    """{"means": {source: its meaning}, "lines": [(task, contestant, {source: (size, meaning)})]}; None where the
    journal does not have it."""
    means: dict[str, str] = {}
    lines = []
    for task, name, row in cells:
        shown = row["status"] == "ok" and task.scenario != ROOF
        told = (row["facts"] or {}).get("memory") if shown else None
        if told:
            lines.append((task, name, {one["source"]: (humanise.size(one["bytes"]), one["means"]) for one in told}))
            for one in told:
                means.setdefault(one["source"], _of_all(one["source"], one["means"]))
    order = [*(name for name in _SOURCES if name in means), *(name for name in means if name not in _SOURCES)]
    return {"means": {name: means[name] for name in order}, "lines": lines} if lines else None


def _of_all(source: str, means: str) -> str:
    """The meaning of a source without what is so in one cell only."""
    return means.partition(" (")[0] if source == "floor" else means.partition(", shared")[0]


def contradictions(seen: View) -> list[tuple[str, list[str]]]:
    """(who says it: the sentence, the tasks of which it is said) of all that cannot be true together."""
    found: dict[str, list[str]] = {}
    for task, name, row in seen.cells():
        for sentence in row["contradictions"] or []:
            found.setdefault(f"{name}: {sentence}", []).append(f"{task.name} ({task.scope})")
    return list(found.items())


def floor(task: Task) -> str:
    """The least memory of the task, by the Program; both ends where layouts and modes make it differ."""
    sizes = sorted({row["floor_bytes"] for row in task.cells.values() if row["floor_bytes"] is not None})
    texts = list(dict.fromkeys(humanise.size(size) for size in sizes))
    return f" {humanise.NOTHING} ".join(dict.fromkeys([texts[0], texts[-1]])) if texts else humanise.NOTHING


def any_energy(seen: View) -> bool:
    return any(row["joules_per_step"] is not None for _, _, row in seen.cells())


def no_energy(run: Run) -> str:
    """Why there is no energy, as far as the journal says."""
    told: Any = records(run.machine)[-1].get("energy") if len(run.machine) else None
    reasons = [f"{source}: {reason}" for source, reason in (told or {}).items() if reason]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"Absent: no counter of energy could be read{why}."
