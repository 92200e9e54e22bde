"""Why a verdict is "cannot tell", and how many samples the figures were made without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure import statistics
from harness.report import humanise
from harness.report.view import Row, Task
from harness.results import MAIN_PHASES, Run


@dataclass(frozen=True)
class Undecided:
    """A cell that the data do not tell from the baseline."""

    task: Task
    contestant: str
    why: str


def why(row: Row, task: Task) -> str:
    """Why the data cannot tell this cell from the baseline; empty where they can."""
    if row["status"] != "ok" or row["verdict"] != statistics.CANNOT_TELL:
        return ""
    if row["contended"]:
        return "contended: most samples waited for a CPU"
    baseline = task.baseline
    if baseline is not None and baseline["contended"]:
        return "the baseline was contended"
    if row["detectable"] is None:
        return "too few rounds"
    return f"differences below {humanise.percent(row['detectable'])} could not be seen"


def undecided(tasks: Sequence[Task]) -> list[Undecided]:
    """Every cell of these tasks whose verdict is "cannot tell"."""
    found = [Undecided(task, name, why(row, task)) for task in tasks for name, row in task.cells.items()]
    return [one for one in found if one.why]


def in_short(tasks: Sequence[Task]) -> str:
    """One sentence about what could not be told; empty where everything could."""
    found = undecided(tasks)
    if not found:
        return ""
    contended = sum("contended" in one.why for one in found)
    few = sum(one.why == "too few rounds" for one in found)
    rows = [one.task.cells[one.contestant] for one in found if one.why.startswith("differences")]
    parts = [f"{contended} contended"] if contended else []
    parts += [f"{few} with too few rounds"] if few else []
    if rows:
        most = humanise.percent(max(row["detectable"] for row in rows))
        parts.append(f"{len(rows)} in which a difference of {most} or more would have been seen")
    return f"Cannot tell: {len(found)} {'cell' if len(found) == 1 else 'cells'} ({', '.join(parts)})."


def waiting(run: Run) -> str:
    """One sentence: how many samples waited for a CPU, and were left out. Empty where none were taken."""
    timed = run.samples["phase"].isin(MAIN_PHASES).to_numpy(dtype=bool)
    waited = run.samples["waited"].to_numpy(dtype=bool) & timed
    left_out = int((waited & ~run.samples["used"].to_numpy(dtype=bool)).sum())
    total, count = int(timed.sum()), int(waited.sum())
    if not count:
        return f"None of {total:,} timed samples waited for a CPU." if total else ""
    kept = f"; {count - left_out:,} are of contended cells, which use all that they have" if count > left_out else ""
    return (
        f"{count:,} of {total:,} timed samples ({humanise.percent(count / total)}) waited for a CPU that others had; "
        f"{left_out:,} of them were left out of the figures{kept}."
    )
