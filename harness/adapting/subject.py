"""The adapter under test: its environments, workers and networks, and what of the model zoo it can do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import onnx
from onnx import numpy_helper

from harness.adapters import AdapterSpec
from harness.adapting.findings import Unable
from harness.adapting.source import Source
from harness.errors import HarnessError
from harness.kit import arrays
from harness.live import LiveCell, Site, start
from harness.matrix import Cell, usable_cores
from harness.scenarios import infer, train
from harness.sites import Provider, Sites
from harness.spec import inputs, model, prepare
from harness.spec.prepare import Workload
from harness.spec.specialise import UnsupportedModel
from harness.worker import Worker, WorkerFailed

#: Models of the zoo by which an adapter is judged, the plainest first; the others take minutes to evaluate.
MODELS = {
    "infer": ("mlp", "gemm", "lenet5", "lstm", "depthwise", "resnet_cifar", "encoder"),
    "train": ("mlp", "lenet5", "lstm", "depthwise"),
}

_GATES: dict[str, ModuleType] = {"infer": infer, "train": train}

_BATCH = 2


@dataclass(frozen=True)
class Pace:
    """How long an adapter is looked at. timeout: seconds for one request. lasting_seconds: for loads, and for steps.

    work_flops: of a step that is long enough to be timed. cases: a glob, the cases of the board.
    """

    timeout: float = 120.0
    loads: int = 200
    steps: int = 2000
    lasting_seconds: float = 15.0
    work_flops: float = 5e8
    cases: str = "*"


@dataclass
class Judged:
    """What became of a model: reason is empty where it is right. refused: the adapter says that it cannot."""

    live: LiveCell
    reason: str = ""
    refused: bool = False


class Subject:
    """An adapter on one device. scratch: a folder for everything that is written. Used from the main thread alone."""

    def __init__(
        self, spec: AdapterSpec, sites: Sites, provide: Provider, device: str, scratch: Path, pace: Pace | None = None
    ):
        self.spec, self.sites, self.provide, self.device, self.scratch = spec, sites, provide, device, scratch
        self.pace = pace or Pace()
        self.source = Source(spec.folder)
        self.threads = usable_cores()
        self.seeds = itertools.count(1000)  # of inputs that nobody has seen before
        self._networks = itertools.count(1)
        self._workers: dict[str, Worker] = {}
        self._workloads: dict[tuple[str, str, int, int], Workload] = {}
        self._judged: dict[str, dict[str, Judged] | str] = {}

    @property
    def trains(self) -> bool:
        return "train" in self.spec.scenarios

    @property
    def purposes(self) -> tuple[str, ...]:
        return ("infer", "train") if self.trains else ("infer",)

    # Workers -------------------------------------------------------------------------------------------------------

    def site(self, purpose: str = "infer") -> Site:
        """Where the adapter runs for a purpose. Raises Unable where it does not start."""
        try:
            found = self.sites.open(self.spec, self.device, purpose)
        except HarnessError as error:
            raise Unable(error.what) from None
        if isinstance(found, str):
            raise Unable(found)
        return found

    def shared(self, purpose: str = "infer") -> Worker:
        """The worker in which everything is done that needs none of its own."""
        found = self._workers.get(purpose)
        if found is None or not found.alive():
            found = self._workers[purpose] = self._start(purpose, self.threads)
        return found

    @contextmanager
    def worker(self, purpose: str = "infer", threads: int | None = None) -> Iterator[Worker]:
        """A worker of one's own."""
        one = self._start(purpose, threads or self.threads)
        try:
            yield one
        finally:
            one.kill()  # how it ends is a check of its own

    def _start(self, purpose: str, threads: int) -> Worker:
        log = self.scratch / "logs" / f"{next(self._networks)}-{purpose}.log"
        one = start(self.site(purpose), log, threads, self.device)
        try:
            one.greet(self.pace.timeout)
        except WorkerFailed:
            one.kill()
            raise
        return one

    def close(self) -> None:
        for worker in self._workers.values():
            worker.kill()

    # Networks ------------------------------------------------------------------------------------------------------

    def workload(self, name: str, purpose: str = "infer", batch: int = _BATCH, seed: int = 0) -> Workload:
        key = (name, purpose, batch, seed)
        if key not in self._workloads:
            self._workloads[key] = Workload(prepare.find(name), purpose, batch, seed)
        return self._workloads[key]

    def twin(self, name: str) -> Workload:
        """A model with other weights: each one's elements in reverse."""
        proto = onnx.load(str(prepare.find(name).path))
        for weight in proto.graph.initializer:
            array = numpy_helper.to_array(weight)
            if array.dtype == numpy.float32:
                reversed_one = numpy.ascontiguousarray(array.reshape(-1)[::-1]).reshape(array.shape)
                weight.CopyFrom(numpy_helper.from_array(reversed_one, weight.name))
        return Workload(model.from_proto(proto, name), "infer", _BATCH, 0)

    def load(
        self, workload: Workload, worker: Worker | None = None, device: str | None = None, **chosen: Any
    ) -> LiveCell:
        """A network. chosen: options that are not the defaults. Raises WorkerFailed or UnsupportedModel."""
        options = {"mode": self.spec.modes[0], "precision": "fp32", "threads": self.threads, "cudnn": True, **chosen}
        cell = Cell(
            adapter=self.spec.name,
            device=device or self.device,
            model=workload.model.name,
            scenario=workload.purpose,
            layout=self.spec.layout,
            batch=workload.batch or 1,
            clock_scope="device",
            purpose=workload.purpose,
            **options,
        )
        site = self.site(workload.purpose)
        worker = worker or self.shared(workload.purpose)
        live = LiveCell(cell, site, workload, self.scratch, self.pace.timeout, next(self._networks), worker)
        live.load(cell.options)
        return live

    def load_again(
        self, like: LiveCell, worker: Worker, bundle: str = "", device: str | None = None, **changed: Any
    ) -> LiveCell:
        """Another network of a cell's bundle, or of the one that is named, with some options changed, and no operator
        taking another way than before. Raises WorkerFailed."""
        live = LiveCell(
            like.cell, like.site, like.workload, self.scratch, self.pace.timeout, next(self._networks), worker
        )
        cell = like.cell
        live.bundle = like.bundle
        assert like.bundle is not None
        place = bundle or str(like.bundle.folder)
        live.ask("load", bundle=place, device=device or cell.device, options={**cell.options, **changed})
        return live

    def fed(self, workload: Workload, seed: int) -> str:
        """Inputs of another seed, in a new file."""
        path = str(self.scratch / f"inputs-{next(self._networks)}")
        arrays.write_arrays(path, inputs.make(workload.program, seed))
        return path

    # What it can do ------------------------------------------------------------------------------------------------

    def judged(self, purpose: str = "infer") -> dict[str, Judged]:
        """Every model that it was asked for, loaded in the shared worker, and how it passed the gate.

        Raises Unable where that was tried already and ended its worker.
        """
        known = self._judged.get(purpose)
        if known is None:
            self._judged[purpose] = f"its worker ends when it shall {purpose}"
            known = self._judged[purpose] = {name: self._judge(name, purpose) for name in MODELS[purpose]}
        if isinstance(known, str):
            raise Unable(known)
        return known

    def _judge(self, name: str, purpose: str) -> Judged:
        workload = self.workload(name, purpose)
        try:
            live = self.load(workload)
            gate(live)
        except (WorkerFailed, UnsupportedModel) as failure:
            if isinstance(failure, WorkerFailed) and not failure.alive:
                raise
            refused = isinstance(failure, UnsupportedModel) or failure.kind == "unsupported"
            cell = Cell(self.spec.name, self.device, name, purpose, "", "fp32", "", _BATCH, 1, "device")
            nothing = LiveCell(cell, self.site(purpose), workload, self.scratch, 0.0)
            return Judged(nothing, str(failure).splitlines()[0], refused)
        return Judged(live, live.finding.reason)

    def able(self, purpose: str = "infer") -> list[LiveCell]:
        """Models that it computes, right or wrong, those with the least to compute first. Raises Unable for none."""
        found = [one.live for one in self.judged(purpose).values() if one.live.network]
        if not found:
            raise Unable(f"it cannot {purpose} any of {', '.join(MODELS[purpose])} yet")
        return sorted(found, key=lambda live: live.workload.cost.flops)

    def smallest(self, purpose: str = "infer") -> LiveCell:
        """Its network with the least to compute."""
        return self.able(purpose)[0]

    def work(self, purpose: str = "infer") -> Workload:
        """A model that it computes, at a batch at which a step is long enough to be timed."""
        names = [live.cell.model for live in self.able(purpose)]
        name = next(name for name in MODELS[purpose] if name in names)
        each = self.workload(name, purpose).cost.flops / _BATCH
        return self.workload(name, purpose, max(1, math.ceil(self.pace.work_flops / each)))


def gate(live: LiveCell) -> None:
    """Hold what a network computes against the reference; live.finding.reason tells what is wrong."""
    _GATES[live.cell.purpose].gate(live)
