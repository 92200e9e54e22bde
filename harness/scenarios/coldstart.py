"""Cold start: how long after a process begins its first result is there, phase by phase.

spawn: from the controller's call to the interpreter's first line. import: numpy, the kit and the framework. load:
reading the bundle and lowering it. first_result: the first forward pass from arrays to arrays, with whatever is
compiled for it.
"""

from __future__ import annotations

import time
from typing import Any

from harness import parity
from harness.live import LiveCell, start

PHASES = ("spawn", "import", "load", "first_result")


def measure(live: LiveCell, options: dict[str, Any], repeat: int) -> dict[str, int]:
    """Start a process, take its phases in nanoseconds, check its result, end it."""
    cell = live.cell
    assert live.bundle is not None
    log = live.scratch.parent / "logs" / f"{cell.id}-{repeat}.log"
    live.worker = start(live.site, log, cell.threads, cell.device)
    try:
        hello = live.worker.ask("hello", live.timeout)
        loaded = live.ask("load", bundle=str(live.bundle.folder), device=cell.device, options=options)
        path = str(live.scratch / f"{live.network}-cold")
        result = live.ask("infer", inputs=str(live.workload.inputs()), outputs=path)
        total = time.monotonic_ns() - live.worker.spawned_ns
    finally:
        live.worker.end()
    parity.check_outputs(live.finding, parity.read(path), live.workload.reference())
    return {
        "spawn": hello["started_ns"] - live.worker.spawned_ns,
        "import": hello["ready_ns"] - hello["started_ns"],
        "load": loaded["read_ns"] + loaded["lower_ns"],
        "first_result": result["ns"],
        "total": total,
    }
