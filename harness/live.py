"""What a run holds while it runs: workers that live, and cells that are being measured."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environments import Environment
from harness.kit import arrays
from harness.lowering import with_fallbacks
from harness.matrix import Cell
from harness.measure.tally import Tally
from harness.parity import Finding
from harness.spec.prepare import Bundle, Workload
from harness.spec.reference import Arrays
from harness.worker import Worker, WorkerFailed

#: What a framework takes before it has done anything, roughly.
_FRAMEWORK_BYTES = 400_000_000

#: The share of the available memory that the workers of a comparison may take together.
_MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class Site:
    """An adapter in one of its environments, as it answered when it was first started there."""

    adapter: str
    folder: Path
    environment: Environment
    hello: dict[str, Any]

    @property
    def operators(self) -> list[str]:
        return list(self.hello["operators"])

    def device_name(self, device: str) -> str:
        return next((str(entry["name"]) for entry in self.hello["devices"] if entry["device"] == device), device)


class Fleet:
    """Live workers, one for each combination that cannot share a process; parked unless they are asked something."""

    def __init__(self, logs: Path):
        self._logs = logs
        self._workers: dict[tuple[object, ...], Worker] = {}

    def worker(self, site: Site, cell: Cell) -> Worker:
        """A worker that can run a cell, started if there is none. Call it from the main thread: a worker ends with the
        thread that started it."""
        options = (cell.mode, cell.precision, cell.threads, cell.device, cell.cudnn)
        key = (site.adapter, site.environment.python, cell.model, *options)
        found = self._workers.get(key)
        if found is None or not found.alive():
            log = self._logs / f"{cell.model}-{site.adapter}-{site.environment.name}-{cell.mode}.log"
            found = start(site, log, cell.threads, cell.device)
            self._workers[key] = found
        return found

    def park(self) -> None:
        for worker in self._workers.values():
            worker.park()

    def end(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def kill(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()


def start(site: Site, log: Path, threads: int, device: str) -> Worker:
    """A worker process for an adapter in its environment."""
    return Worker(site.environment.python, site.folder, log, threads, device, site.environment.variables)


@dataclass
class LiveCell:
    """A cell from its start to its line in the journal.

    status: empty while all is well; else what ended it. network: the number under which its worker knows it.
    """

    cell: Cell
    site: Site
    workload: Workload
    scratch: Path
    timeout: float
    network: int = 0
    worker: Worker | None = None
    bundle: Bundle | None = None
    status: str = ""
    finding: Finding = field(default_factory=Finding)
    facts: dict[str, Any] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    parameters_trained: int | None = None
    repetitions: int = 1
    settled: bool | None = None
    settle_ns: int | None = None
    tally: Tally = field(default_factory=Tally)
    peaks: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.finding.precision = self.cell.precision

    @property
    def well(self) -> bool:
        return not self.status

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask the cell's worker about its network."""
        assert self.worker is not None
        return self.worker.ask(do, self.timeout, network=self.network, **arguments)

    def ask_steps(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask its worker to run steps of what the cell is about, on the workload's inputs, by its clock."""
        about = {"what": self.cell.purpose, "scope": self.cell.clock_scope, "inputs": str(self.workload.inputs())}
        return self.ask(do, **about, **arguments)

    def load(self, options: dict[str, Any]) -> dict[str, Any]:
        """Write the bundle and have the worker lower it; operators that it refuses take their other way."""

        def attempt(operators: Collection[str]) -> dict[str, Any]:
            self.bundle = self.workload.bundle(operators, self.cell.layout, self.cell.precision)
            return self.ask("load", bundle=str(self.bundle.folder), device=self.cell.device, options=options)

        return with_fallbacks(self.site.operators, attempt)

    def fetch(self, do: str, **arguments: Any) -> Arrays:
        """Ask for arrays, which come back as files."""
        path = str(self.scratch / f"{self.network}-{do}")
        self.ask(do, outputs=path, **arguments)
        return arrays.read_arrays(path)

    def fail(self, failure: WorkerFailed) -> None:
        """Record how a request failed."""
        self.status = failure.kind
        self.finding.reason = failure.reason
        if failure.kind != "unsupported" and failure.log_tail:
            self.facts["log_tail"] = failure.log_tail

    def joules_per_step(self) -> float | None:
        """Energy of a step, all counters of its device together; None where there is no counter."""
        return self.tally.joules_per_step("gpu" if self.cell.device == "cuda" else "package")

    def object(self) -> None:
        """Become `wrong` if the gate found something."""
        if self.well and self.finding.reason:
            self.status = "wrong"

    def memory_needed(self) -> int:
        """Bytes that its worker will need, roughly: the framework, weights, and what a pass makes; in training also
        gradients, optimizer state, and what gradients make of activations."""
        cost = self.workload.cost
        weights, activations = (4, 3) if self.cell.purpose == "train" else (2, 1)
        return _FRAMEWORK_BYTES + weights * cost.weight_bytes + activations * cost.activation_bytes


def side_by_side(cells: list[LiveCell], baseline: str, available: int) -> list[list[LiveCell]]:
    """Groups of cells that fit into memory together, each with the baseline adapter's cells, if there are any.

    available: bytes. One group where all fit; a cell that would fit nowhere still gets a group.
    """
    budget = int(available * _MEMORY_SHARE)
    if sum(one.memory_needed() for one in cells) <= budget:
        return [cells]
    shared = [one for one in cells if one.cell.adapter == baseline]
    left = budget - sum(one.memory_needed() for one in shared)
    groups: list[list[LiveCell]] = []
    room = -1
    for one in cells:
        if one in shared:
            continue
        if one.memory_needed() > room:
            groups.append(list(shared))
            room = left
        groups[-1].append(one)
        room -= one.memory_needed()
    return groups or [cells]
