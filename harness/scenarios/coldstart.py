"""Cold start: how long after a process begins its first result is there, phase by phase.

spawn: from the controller's call to the interpreter's first line. import: numpy, the kit and the framework. load:
reading the bundle and lowering it. first_result: the first forward pass from arrays to arrays, with whatever is
compiled for it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness import parity
from harness.live import LiveCell, start

PHASES = ("spawn", "import", "load", "first_result")


def measure(live: LiveCell, repeat: int) -> dict[str, int]:
    """Start a process, take its phases in nanoseconds, check its result, end it."""
    phases, _ = once(live, live.scratch.parent / "logs" / f"{live.cell.id}-{repeat}.log")
    parity.check_outputs(live.finding, parity.read(_outputs(live)), live.workload.reference())
    return phases


def once(live: LiveCell, log: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Start a process, have it compute its first result or take its first training step, end it; nanoseconds of its
    phases, and how the worker greeted. The cell's bundle must be known."""
    cell = live.cell
    assert live.bundle is not None
    live.worker = start(live.site, log, cell.threads, cell.device)
    try:
        hello = live.worker.ask("hello", live.timeout)
        loaded = live.ask("load", bundle=str(live.bundle.folder), device=cell.device, options=cell.options)
        inputs = str(live.workload.inputs())
        if cell.purpose == "train":
            result = live.ask("train", inputs=[inputs], steps=1)
        else:
            result = live.ask("infer", inputs=inputs, outputs=_outputs(live))
        total = time.monotonic_ns() - live.worker.spawned_ns
    finally:
        live.worker.end()
    phases = {
        "spawn": hello["started_ns"] - live.worker.spawned_ns,
        "import": hello["ready_ns"] - hello["started_ns"],
        "load": loaded["read_ns"] + loaded["lower_ns"],
        "first_result": result["ns"],
        "total": total,
    }
    return phases, hello


def find_bundle(live: LiveCell, log: Path) -> None:
    """Lower a cell's network in a worker that is not measured: only the adapter can say which bundle it takes."""
    live.worker = start(live.site, log, live.cell.threads, live.cell.device)
    try:
        live.worker.greet(live.timeout)
        live.load(live.cell.options)
    finally:
        live.worker.end()


def _outputs(live: LiveCell) -> str:
    return str(live.scratch / f"{live.network}-cold")
