"""The boards of several adapters, one after another, every result into the journal as it becomes known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.adapters import AdapterSpec, find_adapter
from harness.conformance import cases, gradients, light_random
from harness.conformance.board import Board, Result, Way
from harness.conformance.cases import Case
from harness.conformance.gradients import GradientBoard
from harness.journal import Journal
from harness.live import Site
from harness.runner import Progress
from harness.sites import Provider, Sites

#: Every group of cases, in the order of the board.
GROUPS = (*cases.SHIPPED, light_random.GROUP, gradients.GROUP)

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
    answered = _answered(request, provide)
    trained = gradients.collect(request.match) if gradients.GROUP in request.groups else []
    counts: Counter[str] = Counter()
    progress.begin((len(answered) + len(trained)) * sum(len(_modes(request, spec)) for spec in request.adapters))
    for spec in request.adapters:
        for mode in _modes(request, spec):
            for scenario, board, chosen in (("infer", Board, answered), ("train", GradientBoard, trained)):
                if not chosen:
                    continue
                progress.say(f"{spec.title} ({mode}), {scenario}: {len(chosen)} cases")
                site = sites.open(spec, request.devices[spec.name], scenario)
                if isinstance(site, str):
                    journal.append("warning", text=f"{spec.title} has no board: {site}")
                    progress.done(len(chosen))
                    continue
                way = Way(request.devices[spec.name], mode, spec.layout, request.threads, request.timeout)
                for result in board(site, way, folder / ".scratch").run(chosen):
                    _write(journal, site, way, result)
                    counts[result.outcome] += 1
                    progress.done()
    return counts


def _modes(request: Request, spec: AdapterSpec) -> tuple[str, ...]:
    return request.modes or spec.modes[:1]


def _answered(request: Request, provide: Provider) -> list[Case]:
    """The cases that come with answers, and those to which ONNX Runtime gives them."""
    found = cases.collect([group for group in request.groups if group in cases.SHIPPED], request.match)
    if light_random.GROUP in request.groups:
        python = provide(find_adapter(_ORACLE), "cpu", "infer").python
        found += [case for case in light_random.collect(Path(python)) if cases.matches(case.name, request.match)]
    return found


def _write(journal: Journal, site: Site, way: Way, result: Result) -> None:
    case = result.case
    found = {"reason": result.reason, "refused": result.refused, "road": result.road, "rewritten": result.rewritten}
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
        seconds=round(result.seconds, 3),
        **{key: value for key, value in found.items() if value},
    )
