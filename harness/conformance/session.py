"""The boards of several adapters, one after another, every result into the journal as it becomes known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.adapters import AdapterSpec, find_adapter
from harness.conformance import light_random
from harness.conformance.board import Board, Result, Way
from harness.conformance.cases import Case, collect, matches
from harness.journal import Journal
from harness.live import Site
from harness.runner import Progress
from harness.sites import Provider, Sites

#: The adapter whose framework says what is right where ONNX ships no answers.
_ORACLE = "onnxruntime"

#: Seconds that a framework may take to start.
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """What shall be run: these adapters on the device named for each, in these modes (empty: each one's default)."""

    adapters: Sequence[AdapterSpec]
    devices: dict[str, str]
    modes: tuple[str, ...]
    groups: tuple[str, ...]
    match: str
    threads: int
    timeout: float


def play(request: Request, journal: Journal, provide: Provider, progress: Progress) -> Counter[str]:
    """Run the boards; how often each outcome came up."""
    folder = journal.path.parent.absolute()
    sites = Sites(journal, provide, folder / "logs", _START_SECONDS)
    cases = _cases(request, provide)
    counts: Counter[str] = Counter()
    boards = [(spec, mode) for spec in request.adapters for mode in request.modes or (spec.modes[0],)]
    progress.begin(len(cases) * len(boards))
    for spec, mode in boards:
        progress.say(f"{spec.title} ({mode}): {len(cases)} cases")
        device = request.devices[spec.name]
        site = sites.open(spec, device, "infer")
        if isinstance(site, str):
            journal.append("warning", text=f"{spec.title} has no board: {site}")
            progress.done(len(cases))
            continue
        way = Way(device, mode, spec.layout, request.threads, request.timeout)
        for result in Board(site, way, folder / ".scratch").run(cases):
            _write(journal, site, way, result)
            counts[result.outcome] += 1
            progress.done()
    return counts


def _cases(request: Request, provide: Provider) -> list[Case]:
    cases = collect(request.groups, request.match)
    if light_random.GROUP in request.groups:
        python = provide(find_adapter(_ORACLE), "cpu", "infer").python
        cases += [case for case in light_random.collect(Path(python)) if matches(case.name, request.match)]
    return cases


def _write(journal: Journal, site: Site, way: Way, result: Result) -> None:
    case = result.case
    journal.append(
        "conformance",
        adapter=site.adapter,
        framework_version=site.hello["version"],
        device=way.device,
        mode=way.mode,
        group=case.group,
        case=case.name,
        operator=case.operator,
        outcome=result.outcome,
        reason=result.reason,
        refused=result.refused,
        road=result.road,
        rewritten=result.rewritten,
        seconds=round(result.seconds, 4),
    )
