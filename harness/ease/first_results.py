"""How long a user waits: from the start of a process to its first inference, and to its first training step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.ease.metrics import Row, row
from harness.live import LiveCell, Site
from harness.matrix import Cell, usable_cores
from harness.scenarios import coldstart
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
        log = f"{spec.name}-first-{purpose}"
        try:
            coldstart.find_bundle(live, folder / "logs" / f"{log}.log")
            starts = [coldstart.once(live, folder / "logs" / f"{log}-{number}.log") for number in range(STARTS)]
        except WorkerFailed as failure:
            yield row(spec.name, metric, None, failure.reason, environment)
        else:
            yield row(spec.name, metric, min(phases["total"] for phases, _ in starts) / 1e9, source, environment)
            yield row(spec.name, "import", min(hello["import_ns"] for _, hello in starts) / 1e9, source, environment)


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
