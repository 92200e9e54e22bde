"""Adapters against the same networks written by hand in their framework. Not mixed with what compares frameworks."""

from __future__ import annotations

from typing import Any

from harness.kit import wire
from harness.report.view import Row, Task, View


def lines(seen: View) -> dict[str, list[dict[str, Any]]]:
    """By clock scope, a line per adapter, model and purpose: {"task", "contestant", "adapter" (its row), "hand"}."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task in sorted(seen.native, key=_place):
        hand = next((row for row in task.cells.values() if _by_hand(row)), None)
        for name, row in task.cells.items():
            if not _by_hand(row):
                line = {"task": task, "contestant": name, "adapter": row, "hand": hand}
                found.setdefault(task.scope, []).append(line)
    return found


def _by_hand(row: Row) -> bool:
    return bool(row["mode"] == wire.NATIVE_MODE)


def _place(task: Task) -> str:
    return str(task.first["adapter"])
