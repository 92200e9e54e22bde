"""How long a large run takes to become a report: a million samples of two hundred cells.

The journal is made up, in a temporary folder; it has what a run's has. What `harness report` does is timed by steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _results
import numpy

import harness
from harness import journal
from harness.report import markdown, page

#: What reading a run and writing its report may take together.
LIMIT_SECONDS = 10.0

ADAPTERS = {"torch": 1.0, "tensorflow": 1.3, "mxnet": 1.02, "caffe2": 1.9, "onnxruntime": 0.6}
ROUNDS = 50

FRAMES = "frames as Parquet and CSV"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--samples", type=int, default=1_000_000, help="in all")
    arguments.add_argument("--cells", type=int, default=200, help="in all")
    given = arguments.parse_args()
    steps = _Steps()
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), given.cells // len(ADAPTERS), given.samples // given.cells // ROUNDS)
        size = (Path(folder) / journal.FILE_NAME).stat().st_size
        run = steps.take("load", lambda: harness.load(folder))
        steps.take("HTML", lambda: page.html(run))
        steps.take("Markdown", lambda: markdown.markdown(run))
        steps.take(FRAMES, run.save)
    title = f"Seconds: {len(run.samples):,} samples of {len(run.cells)} cells, {size / 1e6:.0f} MB of journal"
    _results.show(title, ["step", "wall", "CPU"], steps.rows)
    together = sum(wall for name, wall, _ in steps.rows if name != FRAMES)
    kept = _results.judge({"seconds of load, HTML and Markdown": (together, LIMIT_SECONDS)})
    figures = {"columns": ["step", "seconds", "cpu_seconds"], "rows": steps.rows}
    _results.keep("report", {"samples": len(run.samples), "cells": len(run.cells), "bytes": size, **figures})
    raise SystemExit(0 if kept else 1)


class _Steps:
    """rows: what was done, its seconds, and the seconds of CPU time of all threads."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    def take(self, name: str, step: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = step()
        self.rows.append((name, time.perf_counter() - wall, time.process_time() - cpu))
        return result


def _write(folder: Path, comparisons: int, samples: int) -> None:
    with (folder / journal.FILE_NAME).open("w") as file:
        for fact in _facts(comparisons, samples):
            json.dump({"at": "2026-01-01T00:00:00.000+00:00", **fact}, file)
            file.write("\n")


def _facts(comparisons: int, samples: int) -> Iterator[dict[str, Any]]:
    generator = numpy.random.default_rng(0)
    yield {"kind": "run", "name": "large", "suite": "none", "seed": 0}
    yield {"kind": "machine", "cpu": "none", "logical_cores": 2, "memory_bytes": 1 << 34}
    for index in range(comparisons):
        about = {
            "comparison": f"model{index // 4}/infer/b{index % 4}",
            "model": f"model{index // 4}",
            "scenario": "infer",
            "purpose": "infer",
            "batch": index % 4 + 1,
            "device": "cpu",
            "clock_scope": "device",
            "precision": "fp32",
            "threads": 2,
        }
        step = generator.lognormal(14, 2)
        for number in range(ROUNDS):
            drift = generator.lognormal(0, 0.1)
            for order, (adapter, slowness) in enumerate(ADAPTERS.items()):
                cell = f"{about['comparison']}/{adapter}"
                yield _turn(cell, number, order, step * slowness * drift, samples, generator)
        for adapter in ADAPTERS:
            cell = {"cell": f"{about['comparison']}/{adapter}", "adapter": adapter, "mode": "best"}
            yield {"kind": "cell", **about, **cell, "status": "ok", "framework_version": "1", "facts": {}}
    yield {"kind": "run_end", "seconds": 1.0}


def _turn(
    cell: str, number: int, order: int, step: float, samples: int, generator: numpy.random.Generator
) -> dict[str, Any]:
    ns = step * generator.lognormal(0, 0.03, samples)
    waited = numpy.where(generator.random(samples) < 0.05, ns * 0.2, 0)
    return {
        "kind": "samples",
        "cell": cell,
        "round": number,
        "order": order,
        "phase": "timed",
        "repetitions": 1,
        "ns": (ns + waited).tolist(),
        "waited_ns": waited.astype(int).tolist(),
        "involuntary_switches": (waited > 0).astype(int).tolist(),
        "turn_ns": int((ns + waited).sum()),
        "others_ns": int(0.5 * ns.sum()),
    }


if __name__ == "__main__":
    main()
