"""The cases of the board through one adapter: each is specialised, lowered and run as any model is.

While the worker runs one case, the next ones are made ready beside it. A case that crashes or hangs its worker costs
that case, and a new worker.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from harness.conformance.answers import objection
from harness.conformance.cases import Case, DataSet
from harness.errors import HarnessError
from harness.kit import Program, arrays
from harness.live import Site, start
from harness.lowering import with_fallbacks
from harness.spec import bundle, layout, model
from harness.spec.model import fed_inputs
from harness.spec.prepare import Workload
from harness.spec.specialise import Specialised, UnsupportedModel, specialise
from harness.worker import Worker, WorkerFailed

#: What can become of a case. `folded`: the controller's folding left nothing for the framework to compute. `untold`:
#: the reference itself is not exact enough to judge.
OUTCOMES = ("pass", "wrong", "unsupported", "error", "timeout", "crash", "folded", "untold")

#: How the operators of a case reached the framework, in the order in which the ways are tried.
OWN, BODY, RULE = "own function", "function body", "rule"

#: Cases that are made ready ahead of the worker.
_AHEAD = 8


@dataclass(frozen=True)
class Way:
    """How cases are run. timeout: seconds that one case may take."""

    device: str
    mode: str
    layout: str
    threads: int
    timeout: float


@dataclass
class Result:
    """What became of one case.

    refused: the operator that stands in the way, where the outcome is "unsupported". road: how its operators reached
    the framework. rewritten: {operator: by what}.
    """

    case: Case
    outcome: str = ""
    reason: str = ""
    refused: str = ""
    road: str = ""
    rewritten: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def end(self, outcome: str, reason: str = "", refused: str = "") -> Result:
        self.outcome, self.reason, self.refused = outcome, reason, refused
        return self


@dataclass
class Ready:
    """A case ready for the worker, or settled before it got there (result.outcome is set)."""

    result: Result
    folder: Path
    source: model.Model | None = None
    workload: Workload | None = None
    given: dict[str, numpy.ndarray] = field(default_factory=dict)
    data: list[DataSet] = field(default_factory=list)
    program: Program | None = None
    operators: set[str] = field(default_factory=set)


class Board:
    """One adapter's board. folder: for scratch files and the worker's log."""

    def __init__(self, site: Site, way: Way, folder: Path):
        self.site, self.way, self.folder = site, way, folder
        self._worker: Worker | None = None

    def run(self, cases: Iterable[Case]) -> Iterator[Result]:
        """Every case's result, in order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for ready in _ahead(cases, self._made_ready):
                begin = time.monotonic()
                if not ready.result.outcome:
                    self._run(ready)
                ready.result.seconds = time.monotonic() - begin
                shutil.rmtree(ready.folder, ignore_errors=True)
                yield ready.result
        finally:
            if self._worker is not None:
                self._worker.end()

    def worker(self) -> Worker:
        """A live worker that has imported its framework: the one at hand, or a new one where that died."""
        if self._worker is None or not self._worker.alive():
            log = self.folder.parent / "logs" / f"conformance-{self.site.adapter}.log"
            self._worker = start(self.site, log, self.way.threads, self.way.device)
        self._worker.greet(self.way.timeout)
        return self._worker

    @property
    def options(self) -> dict[str, Any]:
        return {"mode": self.way.mode, "precision": "fp32", "threads": self.way.threads}

    # Before the worker ---------------------------------------------------------------------------------------------

    def _made_ready(self, number: int, case: Case) -> Ready:
        result, folder = Result(case), self.folder / f"{number}"
        folder.mkdir()
        try:
            return self.make_ready(result, folder)
        except UnsupportedModel as refusal:
            result.end("unsupported", refusal.what, refusal.operator or "")
        except HarnessError as error:
            result.end("error", error.what)
        except Exception as error:  # what breaks on one case must not end the board
            result.end("error", f"the harness: {type(error).__name__}: {error}")
        return Ready(result, folder)

    def make_ready(self, result: Result, folder: Path) -> Ready:
        """Everything that can be done without the worker."""
        case = result.case
        source = model.from_proto(case.load(), case.name)
        data = case.data()
        names = [value.name for value in fed_inputs(source.proto.graph)]
        given = {
            name: array for name, array in zip(names, data[0][0], strict=False) if isinstance(array, numpy.ndarray)
        }
        ready = Ready(result, folder, source, given=given, data=data)
        special = self._bundle(ready, self.site.operators)
        if _nothing_left(special.program):
            found = objection(special.program.weights, special.program.outputs, data[0][1], case.rtol, case.atol)
            result.end("wrong" if found else "folded", found)
        return ready

    def _bundle(self, ready: Ready, operators: Collection[str]) -> Specialised:
        """Make the Program for an adapter with these operators, and write its bundle."""
        assert ready.source is not None
        special = specialise(ready.source, operators=operators, values=ready.given)
        shutil.rmtree(ready.folder / "bundle", ignore_errors=True)
        bundle.write(special.program, ready.folder / "bundle", layout.planned(special.program, self.way.layout))
        for index, (inputs, _) in enumerate(ready.data):
            fed = dict(zip((value.name for value in fed_inputs(ready.source.proto.graph)), inputs, strict=False))
            given = {tensor.name: fed[tensor.name] for tensor in special.program.inputs}
            arrays.write_arrays(str(ready.folder / f"in{index}"), given)
        ready.program, ready.operators = special.program, set(operators)
        ready.result.rewritten = special.rewritten
        ready.result.road = road(special.rewritten)
        return special

    # In the worker -------------------------------------------------------------------------------------------------

    def _run(self, ready: Ready) -> None:
        try:
            self.judge(ready)
        except WorkerFailed as failure:
            dead = failure.kind == "failed" and not failure.alive
            outcome = "crash" if dead else "error" if failure.kind == "failed" else failure.kind
            ready.result.end(outcome, failure.reason, failure.operator or "")
        except Exception as error:  # as above
            ready.result.end("error", f"the harness: {type(error).__name__}: {error}")

    def judge(self, ready: Ready) -> None:
        """Have the worker run a case, and end its result."""
        result = ready.result
        with_fallbacks(self.site.operators, partial(self._load, ready))
        assert ready.program is not None
        try:
            for index, (_, right) in enumerate(ready.data):
                outputs = str(ready.folder / f"out{index}")
                self._ask("infer", network=1, inputs=str(ready.folder / f"in{index}"), outputs=outputs)
                found = objection(
                    arrays.read_arrays(outputs), ready.program.outputs, right, result.case.rtol, result.case.atol
                )
                if found:
                    result.end("wrong", found)
                    return
            result.end("pass")
        finally:
            if self._worker is not None and self._worker.alive():
                self._ask("close", network=1)

    def _load(self, ready: Ready, operators: Collection[str]) -> None:
        if ready.operators != set(operators):
            self._bundle(ready, operators)
        place = str(ready.folder / "bundle")
        self._ask("load", network=1, bundle=place, device=self.way.device, options=self.options)

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.worker().ask(do, self.way.timeout, **arguments)


def road(rewritten: Mapping[str, str]) -> str:
    """The last of the ways that the operators of a case had to take. rewritten: {operator: BODY or RULE}."""
    ways = set(rewritten.values())
    return RULE if RULE in ways else BODY if BODY in ways else OWN


def _nothing_left(program: Program) -> bool:
    """Whether every output is a constant that was folded before the framework saw it."""
    weights = {tensor.name for tensor in program.initializers}
    return all(node.op == "Identity" and node.inputs[0] in weights for node in program.nodes)


def _ahead(cases: Iterable[Case], make: Callable[[int, Case], Ready]) -> Iterator[Ready]:
    """Ready cases in order; a few are made while the caller is busy with the one before."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[Future[Ready]] = deque()
        for number, case in enumerate(cases):
            waiting.append(pool.submit(make, number, case))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
