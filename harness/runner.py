"""Run a matrix: environments, then model by model its comparisons, every fact into the journal as it becomes known.

A comparison goes through five steps: its cells are loaded; the gate checks what they compute; those that pass warm up;
rounds of turns in shuffled order are timed, everybody else parked; memory is measured in steps of its own.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from harness.adapters import AdapterSpec
from harness.errors import HarnessError
from harness.gate import guarded, judge
from harness.journal import Fact, Journal
from harness.live import Fleet, LiveCell, Site, side_by_side
from harness.matrix import PREFERRED_BASELINE, Cell, Comparison
from harness.measure import memory
from harness.measure.energy import Meter
from harness.measure.gpu import Nvml
from harness.measure.machine import Watch
from harness.results import NULL_ADAPTER
from harness.rounds import Rounds
from harness.scenarios import coldstart, infer, train
from harness.scenarios.ease import Ease, EasePlan
from harness.sites import Provider, Sites
from harness.spec import prepare
from harness.spec.liveness import floor
from harness.spec.model import Model
from harness.spec.prepare import Workload
from harness.suite import Settings
from harness.worker import WorkerFailed

#: What timed networks are made for, and how the gate judges them.
_GATES: dict[str, ModuleType] = {"infer": infer, "train": train}

#: Steps of the memory pass: enough that every buffer has been needed once.
_MEMORY_STEPS = 3


@dataclass(frozen=True)
class Plan:
    """What shall be run. shapes: extents of free dimensions, and values: numbers for inputs that are settings, each for
    the models that have them. ease: how ease of use is measured, None for not at all. gate_only: time nothing."""

    comparisons: list[Comparison]
    adapters: list[AdapterSpec]
    settings: Settings
    seed: int
    shapes: dict[str, int] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    ease: EasePlan | None = None
    gate_only: bool = False


class Progress:
    """Told what happens; the command line shows it, a test may ignore it."""

    def begin(self, steps: int) -> None: ...

    def say(self, text: str) -> None: ...

    def done(self, steps: int = 1) -> None: ...


class Runner:
    """Runs one plan into one journal. `earlier` are the facts of a run that is resumed."""

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        provide: Provider,
        progress: Progress | None = None,
        earlier: Iterable[Fact] = (),
    ):
        self.plan, self.journal, self.provide = plan, journal, provide
        self.progress = progress or Progress()
        self.folder = journal.path.parent.absolute()  # workers run in another folder
        self._sites: dict[tuple[str, str], Site | str] = {}
        self._opened = Sites(journal, provide, self.folder / "logs", plan.settings.timeout_seconds)
        self._settled: set[str] = set()
        self._eased: set[str] = set()
        self._rounds_before: dict[str, int] = {}
        self._needed: set[str] = set()
        self._rewritten: dict[tuple[str, str], set[str]] = {}
        self._networks = itertools.count(1)
        self._random = random.Random(plan.seed)
        self._nvml = Nvml()
        self._meter = Meter(nvml=self._nvml)
        self._rounds = Rounds(plan.settings, self._random, self._write_samples, self._meter)
        self._remember(earlier)

    def run(self) -> None:
        """Everything that is not in the journal yet."""
        scratch = self.folder / ".scratch"
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left
        scratch.mkdir()
        fleet = Fleet(self.folder / "logs")
        self.progress.begin(len(self.plan.comparisons) + 1 + (len(self.plan.adapters) if self.plan.ease else 0))
        watch = Watch()
        watch.begin()
        try:
            self._prepare_sites()
            self.progress.done()
            by_model = itertools.groupby(self.plan.comparisons, key=lambda comparison: comparison.first.model)
            for model, comparisons in by_model:
                self._run_model(model, list(comparisons), fleet, scratch)
                fleet.end()
                watch.look()
            if self.plan.ease is not None:
                self._run_ease(self.plan.ease)
            for finding in watch.findings():
                self.journal.append("warning", text=finding)
        finally:
            fleet.kill()
            shutil.rmtree(scratch, ignore_errors=True)

    def _remember(self, earlier: Iterable[Fact]) -> None:
        comparisons = {cell.id: comparison.id for comparison in self.plan.comparisons for cell in comparison.cells}
        for fact in earlier:
            if fact["kind"] == "cell" and fact.get("status"):
                self._settled.add(fact["cell"])
            if fact["kind"] == "ease_end":
                self._eased.add(fact["adapter"])
            if fact["kind"] == "samples" and fact["cell"] in comparisons:
                name = comparisons[fact["cell"]]
                self._rounds_before[name] = max(self._rounds_before.get(name, 0), int(fact["round"]) + 1)

    # Environments --------------------------------------------------------------------------------------------------

    def _prepare_sites(self) -> None:
        """Make or find every environment that the plan needs, and see the framework start in it."""
        wanted: dict[tuple[str, str, str], None] = {}
        for comparison in self.plan.comparisons:
            for cell in comparison.cells:
                wanted[cell.adapter, cell.device, cell.purpose] = None
        specs = {spec.name: spec for spec in self.plan.adapters}
        for adapter, device, purpose in wanted:
            self.progress.say(f"environment of {adapter} to {purpose} on {device}")
            self._sites[adapter, purpose] = self._opened.open(specs[adapter], device, purpose)

    # One model -----------------------------------------------------------------------------------------------------

    def _run_model(self, name: str, comparisons: list[Comparison], fleet: Fleet, scratch: Path) -> None:
        open_ones = [c for c in comparisons if not all(cell.id in self._settled for cell in c.cells)]
        self.progress.done(len(comparisons) - len(open_ones))
        if not open_ones:
            return
        try:
            model = prepare.find(name, self.plan.values)
        except HarnessError as error:
            for comparison in open_ones:
                self._refuse(comparison, error)
            return
        workloads: dict[tuple[str, int], Workload] = {}
        for comparison in open_ones:
            self.progress.say(comparison.id)
            cell = comparison.first
            try:
                if (cell.purpose, cell.batch) not in workloads:
                    workload = Workload(model, cell.purpose, cell.batch, self.plan.seed, self._shapes_of(model))
                    workloads[cell.purpose, cell.batch] = workload
                    self._describe(cell, workload)
                workload = workloads[cell.purpose, cell.batch]
                workload.cost_in(cell.precision)  # a precision that is not defined for it is refused here
            except HarnessError as error:
                self._refuse(comparison, error)
                continue
            self._run_comparison(comparison, workload, fleet, scratch)
            self.progress.done()

    def _shapes_of(self, model: Model) -> dict[str, int]:
        """Those of the given extents that are of this model's dimensions."""
        free = prepare.free_dimensions(model)
        return {name: extent for name, extent in self.plan.shapes.items() if name in free}

    def _describe(self, cell: Cell, workload: Workload) -> None:
        self._needed |= {node.op for node in workload.program.nodes}
        self.journal.append(
            "model",
            model=cell.model,
            sha256=workload.model.sha256,
            purpose=workload.purpose,
            batch=cell.batch,
            seed=workload.seed,
            bound=workload.specialised.bound,
            **asdict(workload.cost),
        )

    def _refuse(self, comparison: Comparison, error: HarnessError) -> None:
        for cell in comparison.cells:
            self._write(cell, None, "unsupported", {"reason": str(error)})
        self.progress.done()

    def _run_comparison(self, comparison: Comparison, workload: Workload, fleet: Fleet, scratch: Path) -> None:
        live = []
        for cell in comparison.cells:
            site = self._sites[cell.adapter, cell.purpose]
            if isinstance(site, str):
                self._write(cell, workload, "unsupported", {"reason": site})
            else:
                timeout = self.plan.settings.timeout_seconds
                live.append(LiveCell(cell, site, workload, scratch, timeout, next(self._networks)))
                if cell.id not in self._settled:
                    self.journal.append("cell", cell=cell.id, comparison=comparison.id, **asdict(cell))
        if comparison.first.scenario == "coldstart":
            self._run_cold(comparison, live)
        else:
            self._run_timed(comparison, live, fleet)
        for one in live:
            self._finish(one)

    # Timed scenarios -----------------------------------------------------------------------------------------------

    def _run_timed(self, comparison: Comparison, live: list[LiveCell], fleet: Fleet) -> None:
        """All cells at once where memory allows it, else in groups that share a baseline."""
        groups = side_by_side(live, PREFERRED_BASELINE, psutil.virtual_memory().available)
        for group in groups:
            self._run_group(comparison, [one for one in group if one.well], fleet)
            if len(groups) > 1:
                fleet.end()

    def _run_group(self, comparison: Comparison, live: list[LiveCell], fleet: Fleet) -> None:
        gate = _GATES[comparison.first.purpose]
        for one in live:
            one.worker = fleet.worker(one.site, one.cell)
        judge(live, gate, lambda one: one.cell.options)
        for one in live:
            self._note_rewritten(one)
        fleet.park()
        if not self.plan.gate_only:
            self._measure(comparison, live)
        for one in live:
            if one.worker is not None and one.worker.alive():
                try:
                    one.ask("close")
                except WorkerFailed as failure:
                    one.facts["close"] = failure.reason

    def _measure(self, comparison: Comparison, live: list[LiveCell]) -> None:
        guarded(live, self._rounds.warm_up)
        begin = self._rounds_before.get(comparison.id, 0)
        self._rounds_before[comparison.id] = self._rounds.take(live, begin)
        guarded(live, self._see_what_ran)
        guarded(live, self._measure_memory)

    def _see_what_ran(self, one: LiveCell) -> None:
        reply = one.ask("ran", what=one.cell.purpose, inputs=str(one.workload.inputs()))
        one.facts["ran"] = {**reply["facts"], "network": reply["network"]}

    def _measure_memory(self, one: LiveCell) -> None:
        one.peaks = one.ask_steps("memory", steps=_MEMORY_STEPS)
        if one.cell.device == "cuda" and one.worker is not None:
            one.peaks["device_bytes"], one.facts["device_memory"] = self._nvml.process_bytes(one.worker.process.pid)

    # Cold starts ---------------------------------------------------------------------------------------------------

    def _run_cold(self, comparison: Comparison, live: list[LiveCell]) -> None:
        for number in range(comparison.repeats):
            turns = [one for one in live if one.well]
            self._random.shuffle(turns)
            for order, one in enumerate(turns):
                guarded([one], lambda one: self._start_cold(one, number, order))  # noqa: B023
                if one.cell.adapter != NULL_ADAPTER:
                    one.object()

    def _start_cold(self, one: LiveCell, number: int, order: int) -> None:
        if one.bundle is None:
            coldstart.find_bundle(one, self.folder / "logs" / f"{one.cell.id}.log")
            self._note_rewritten(one)
        phases = coldstart.measure(one, number)
        for phase, nanoseconds in phases.items():
            self._write_samples(one, number, order, phase, {"ns": [nanoseconds], "repetitions": 1})

    def _note_rewritten(self, one: LiveCell) -> None:
        if one.bundle is not None:
            key = (one.cell.adapter, one.site.environment.name)
            self._rewritten.setdefault(key, set()).update(one.bundle.rewritten)

    # Ease ----------------------------------------------------------------------------------------------------------

    def _run_ease(self, plan: EasePlan) -> None:
        timeout = self.plan.settings.timeout_seconds
        ease = Ease(self.journal, self._opened, plan, self.folder, self.plan.seed, timeout)
        for spec in self.plan.adapters:
            if spec.name not in self._eased:
                self.progress.say(f"ease of use of {spec.title}")
                rewritten = {place: ops for (name, place), ops in self._rewritten.items() if name == spec.name}
                ease.measure(spec, self._needed, rewritten)
            self.progress.done()
        ease.share(self.plan.adapters)

    # The journal ---------------------------------------------------------------------------------------------------

    def _write_samples(self, one: LiveCell, number: int, order: int, phase: str, reply: dict[str, Any]) -> None:
        count = len(reply["ns"])
        self.journal.append(
            "samples",
            cell=one.cell.id,
            round=number,
            order=order,
            phase=phase,
            repetitions=reply["repetitions"],
            ns=reply["ns"],
            waited_ns=reply.get("waited_ns", [0] * count),
            involuntary_switches=reply.get("involuntary_switches", [0] * count),
            turn_ns=reply.get("turn_ns"),
            others_ns=reply.get("others_ns"),
            joules=reply.get("joules"),
        )

    def _finish(self, one: LiveCell) -> None:
        judged = one.cell.adapter != NULL_ADAPTER and one.status in ("", "ok", "wrong")
        facts = {
            "reason": one.finding.reason if not one.well else None,
            "framework_version": one.site.hello["version"],
            "device_name": one.site.device_name(one.cell.device),
            "max_relative_error": one.finding.max_relative_error if judged else None,
            "parameters_trained": one.parameters_trained,
            **_memory_of(one),
            "joules_per_step": one.joules_per_step(),
            "settle_ns": one.settle_ns,
            "settled": one.settled,
            "log": _relative(one.worker.log, self.folder) if one.worker is not None else None,
            "facts": {**one.facts, **one.finding.facts, "environment": one.site.environment.name},
        }
        self._write(one.cell, one.workload, one.status or "ok", facts)

    def _write(self, cell: Cell, workload: Workload | None, status: str, facts: dict[str, Any]) -> None:
        about = _about(cell, workload) if workload else {}
        identity = {"cell": cell.id, "comparison": cell.comparison, **asdict(cell)}
        self.journal.append("cell", **identity, **about, status=status, **facts)
        self._settled.add(cell.id)


def _memory_of(one: LiveCell) -> dict[str, Any]:
    """What every source says of the memory pass, and where two of them cannot both be true."""
    if not one.peaks:
        return {}
    got = one.peaks
    peaks = memory.peaks(
        one.cell.device,
        got["account"],
        got["allocator"],
        got["before"],
        device_bytes=got.get("device_bytes"),
        windows=got["windows"],
    )
    least = floor(one.bundle.program if one.bundle is not None else one.workload.program)
    one.facts["memory"] = memory.table(least, peaks)
    return {
        "peak_host_bytes": got["peak_host_bytes"],
        "peak_allocator_bytes": peaks.allocator_peak_bytes,
        "peak_cgroup_bytes": peaks.cgroup_peak_bytes,
        "peak_device_bytes": peaks.device_bytes,
        "floor_bytes": least.total_bytes,
        "contradictions": memory.truth(least, peaks) if one.cell.adapter != NULL_ADAPTER else [],
    }


def _about(cell: Cell, workload: Workload) -> dict[str, Any]:
    cost = workload.cost_in(cell.precision)
    return {
        "model_sha256": workload.model.sha256,
        "flops": cost.flops,
        "step_flops": cost.step_flops,
        "traffic_bytes": cost.traffic_bytes,
    }


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
