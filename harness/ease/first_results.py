"""How long a user waits: from the start of a process to its first inference, and to its first training step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.ease.metrics import Row, row
from harness.live import LiveCell, Site, start
from harness.matrix import Cell, usable_cores
from harness.spec import prepare
from harness.spec.prepare import Workload
from harness.worker import WorkerFailed

MODEL = "lenet5"

#: Process starts; the least counts, because whatever disturbs a start makes it longer.
STARTS = 3

_METRICS = {"infer": "first_inference", "train": "first_step"}


def of(
    spec: AdapterSpec, sites: dict[str, Site], device: str, seed: int, folder: Path, timeout: float
) -> Iterator[Row]:
    """A row for each purpose, "infer" and "train", that has a site. folder: the run's; .scratch in it must be there."""
    for purpose, site in sites.items():
        workload = Workload(prepare.find(MODEL), purpose, 1, seed)
        live = LiveCell(_cell(spec, purpose, device), site, workload, folder / ".scratch", timeout)
        metric, environment = _METRICS[purpose], site.environment.name
        source = f"{MODEL}, the least of {STARTS} starts"
        try:
            starts = [_start(live, folder, number) for number in range(STARTS + 1)][1:]
        except WorkerFailed as failure:
            yield row(spec.name, metric, None, failure.reason, environment)
        else:
            yield row(spec.name, metric, min(seconds for seconds, _ in starts), source, environment)
            yield row(spec.name, "import", min(imported for _, imported in starts), source, environment)


def _cell(spec: AdapterSpec, purpose: str, device: str) -> Cell:
    return Cell(
        adapter=spec.name,
        device=device,
        model=MODEL,
        scenario="ease",
        mode=spec.modes[0],
        precision="fp32",
        layout=spec.layout,
        batch=1,
        threads=usable_cores(),
        clock_scope="cold",
        purpose=purpose,
    )


def _start(live: LiveCell, folder: Path, number: int) -> tuple[float, float]:
    """Seconds of one start, and of its imports. The first, number 0, finds out which bundle the adapter takes."""
    cell = live.cell
    options = {"mode": cell.mode, "precision": cell.precision, "threads": cell.threads, "cudnn": cell.cudnn}
    log = folder / "logs" / f"{cell.adapter}-first-{cell.purpose}-{number}.log"
    live.worker = start(live.site, log, cell.threads, cell.device)
    try:
        hello = live.worker.greet(live.timeout)
        if live.bundle is None:
            live.load(options)
        else:
            live.ask("load", bundle=str(live.bundle.folder), device=cell.device, options=options)
        inputs = str(live.workload.inputs())
        if cell.purpose == "train":
            live.ask("train", inputs=[inputs], steps=1)
        else:
            live.ask("infer", inputs=inputs, outputs=str(live.scratch / f"{cell.adapter}-first"))
        return (time.monotonic_ns() - live.worker.spawned_ns) / 1e9, hello["import_ns"] / 1e9
    finally:
        live.worker.end()
