"""What the benchmarks share: print a table, keep the last results beside the date, the machine and the versions."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import harness
from harness.measure import machine

FOLDER = Path(__file__).resolve().parent / "results"

#: Packages whose versions change the controller's speed.
_PACKAGES = ("numpy", "onnx", "pandas", "protobuf", "scipy")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table. Numbers are rounded to three digits that matter."""
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="left" if name == columns[0] else "right")
    for row in rows:
        table.add_row(*map(_text, row))
    Console(width=140).print(table)


def judge(claims: dict[str, tuple[float, float]]) -> bool:
    """Print each figure beside what it should be at most, {what: (figure, limit)}; whether all keep their limits."""
    rows = [[what, figure, limit, "yes" if figure <= limit else "NO"] for what, (figure, limit) in claims.items()]
    show("Claims", ["figure", "is", "at most", "kept"], rows)
    return all(figure <= limit for figure, limit in claims.values())


def keep(name: str, figures: dict[str, Any], **versions: str) -> Path:
    """Write results/NAME.json: figures, and what they were measured on. versions: of frameworks that took part."""
    facts = machine.facts()
    document = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {key: facts[key] for key in ("cpu", "usable_cores", "memory_bytes", "kernel", "load_average")},
        "versions": {
            "harness": harness.__version__,
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in _PACKAGES},
            **versions,
        },
        "figures": figures,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{path.relative_to(FOLDER.parent.parent)} holds these figures.")
    return path


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The k of the power law seconds ~ sizes**k that fits best: the slope of the logarithms, by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
