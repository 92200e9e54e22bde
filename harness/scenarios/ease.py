"""Ease of use: what can be read and parsed; thoroughly, also what has to be run, installed and resolved."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.ease import effort, first_results, mistakes, programs, starting, status
from harness.ease.metrics import Row, row
from harness.ease.mistakes import Diagnosis
from harness.ease.programs import Attempt
from harness.ease.sharing import of_pairs
from harness.ease.tasks import TASKS
from harness.environments import Environment
from harness.errors import HarnessError
from harness.journal import Journal
from harness.live import Site
from harness.matrix import usable_cores
from harness.results import NULL_ADAPTER
from harness.sites import Sites


@dataclass(frozen=True)
class EasePlan:
    """devices: by adapter. thorough: also run programs, plant mistakes, install anew and ask the resolver."""

    devices: dict[str, str]
    thorough: bool = True


class Ease:
    """Measures ease of use for adapters, one after the other, each fact into the journal as it becomes known.

    folder: the run's. Nobody else may be measured meanwhile: seconds are among the figures.
    """

    def __init__(self, journal: Journal, sites: Sites, plan: EasePlan, folder: Path, seed: int, timeout: float):
        self.journal, self.sites, self.plan = journal, sites, plan
        self.folder, self.seed, self.timeout = folder, seed, timeout
        self.board = effort.newest_board(folder.parent)

    def measure(self, spec: AdapterSpec, needed: set[str], rewritten: dict[str, set[str]]) -> None:
        """Everything about one adapter. needed: operators of this run's models; rewritten: by environment, those for
        which something else stood in."""
        if spec.name == NULL_ADAPTER:
            return
        purposes = {purpose: self.sites.open(spec, self.plan.devices[spec.name], purpose) for purpose in spec.scenarios}
        sites = {purpose: site for purpose, site in purposes.items() if isinstance(site, Site)}
        self._write(effort.of_adapter(spec.name, spec.folder))
        self._write(effort.of_board(spec.name, self.board))
        for workaround in effort.workarounds(spec.folder):
            self.journal.append("workaround", adapter=spec.name, **vars(workaround))
        self._write(programs.parsed(spec))
        for site in _distinct(sites.values()):
            self._write(starting.of_environment(site))
            if needed:
                name = site.environment.name
                lacking = set() if "*" in site.operators else needed - set(site.operators)
                self._write(effort.of_models(spec.name, name, lacking, rewritten.get(name, set())))
        if self.plan.thorough:
            self._measure_thoroughly(spec, sites)
        self.journal.append("ease_end", adapter=spec.name)

    def share(self, specs: list[AdapterSpec]) -> None:
        """Which frameworks can live in one environment."""
        if self.plan.thorough:
            self._write(of_pairs([spec for spec in specs if spec.name != NULL_ADAPTER]))

    def _measure_thoroughly(self, spec: AdapterSpec, sites: dict[str, Site]) -> None:
        environments = {purpose: site.environment for purpose, site in sites.items()}
        for task in programs.asked_of(spec):
            if task.purpose in environments:
                self._run(spec, task.name, environments[task.purpose])
        self._plant(spec, environments)
        device = self.plan.devices[spec.name]
        self._write(first_results.of(spec, sites, device, self.seed, self.folder, self.timeout))
        today = datetime.now(UTC).date()
        for site in _distinct(sites.values()):
            self._write(starting.of_installation(spec, site.environment))
            self._write(status.of(spec, site.environment, today))

    def _run(self, spec: AdapterSpec, task: str, environment: Environment) -> None:
        scratch = self.folder / ".scratch" / "rosetta"
        attempt = programs.run(spec, TASKS[task], environment, scratch, usable_cores(), self.timeout)
        shutil.rmtree(scratch, ignore_errors=True)
        file = programs.file_of(spec, task)
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        self.journal.append("program", environment=environment.name, text=text, **vars(attempt))
        self._write(_of_attempt(attempt))

    def _plant(self, spec: AdapterSpec, environments: dict[str, Environment]) -> None:
        scratch = self.folder / ".scratch" / "mistakes"
        try:
            for diagnosis in mistakes.run_all(spec, environments, scratch, self.timeout):
                self.journal.append("mistake", **vars(diagnosis))
                self._write(_of_diagnosis(diagnosis))
        except HarnessError as error:
            self.journal.append("warning", text=f"{spec.title}: no diagnostics: {error.what}")
        shutil.rmtree(scratch, ignore_errors=True)

    def _write(self, rows: Iterable[Row]) -> None:
        for one in rows:
            self.journal.append("ease", **one)


def _of_attempt(attempt: Attempt) -> Iterator[Row]:
    done = attempt.outcome == "done"
    told = "it ran and its results agree" if done else f"{attempt.outcome}: {attempt.reason}"
    yield row(attempt.adapter, "done", float(done), told, attempt.task)
    if attempt.seconds is not None:
        run = f"a run of rosetta/{attempt.task}.py"
        yield row(attempt.adapter, "run_seconds", attempt.seconds, run, attempt.task)
        yield row(attempt.adapter, "warnings", attempt.warnings, run, attempt.task)
        yield row(
            attempt.adapter, "extra_packages", attempt.extra_packages, f"rosetta/{attempt.task}.lock", attempt.task
        )


def _of_diagnosis(diagnosis: Diagnosis) -> Iterator[Row]:
    """A row for every metric: without a value where it is no mistake in this framework, or there is no message."""
    told, caught = diagnosis.way, diagnosis.caught
    if diagnosis.reason:
        told = f"{diagnosis.way}: {diagnosis.reason}"
    moment = mistakes.MOMENTS.index(diagnosis.moment)
    values: dict[str, float | bool | None] = {
        "caught": caught,
        "moment": moment,
        "names_operator": diagnosis.names_operator,
        "names_shapes": diagnosis.names_shapes,
        "names_line": diagnosis.names_line,
        "traceback_lines": diagnosis.lines if caught else None,
        "traceback_frames": diagnosis.frames if caught else None,
        "user_frames": diagnosis.user_frames if caught else None,
    }
    if diagnosis.is_mistake and diagnosis.names_shapes is None:
        del values["names_shapes"]  # there are none to name
    for metric, value in values.items():
        known = float(value) if diagnosis.is_mistake and value is not None else None
        yield row(diagnosis.adapter, metric, known, told, diagnosis.mistake)


def _distinct(sites: Iterable[Site]) -> list[Site]:
    return list({site.environment.python: site for site in sites}.values())
