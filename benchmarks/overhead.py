"""What the harness adds to a figure: a step of the adapter that does nothing, a message, parking and waking a worker.

The quickest figure of a run (reports/sample, if no other is named) is what that is held against.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _results
import numpy

import harness
from harness.kit import wire
from harness.measure import statistics
from harness.measure.statistics import Estimate
from harness.paths import ADAPTERS
from harness.results import NULL_ADAPTER
from harness.spec import prepare
from harness.worker import Worker

#: What a step may cost, and which share of the quickest figure.
LIMIT_STEP_NS, LIMIT_SHARE_PERCENT = 1000.0, 0.1

#: Rounds in which everything is measured once, and how long a sample of steps lasts.
ROUNDS, SAMPLE_NS = 40, 20_000_000

TIMEOUT = 60.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("run", nargs="?", default="reports/sample", help="folder of the run to compare with")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARNESS_HOME"] = folder
        measured = _measure(Path(folder))
    estimates = {name: statistics.median_interval(values) for name, values in measured.items()}
    rows = [[name, one.value, f"{one.low:,.0f} to {one.high:,.0f}"] for name, one in estimates.items()]
    _results.show(f"Nanoseconds: medians of {ROUNDS} rounds, 95 % intervals", ["what", "median", "interval"], rows)
    scopes = _scopes(Path(given.run), estimates)
    columns = [
        "scope",
        "quickest figure, ns",
        "of",
        "a step that does nothing, ns",
        "share, %",
        "in the run itself, ns",
    ]
    _results.show(f"Share of the quickest figure of {given.run}", columns, [list(row.values()) for row in scopes])
    claims = {f"ns of one {row['scope']} step": (row["null_ns"], LIMIT_STEP_NS) for row in scopes}
    claims |= {
        f"% of the quickest {row['scope']} figure": (row["share_percent"], LIMIT_SHARE_PERCENT) for row in scopes
    }
    kept = _results.judge(claims)
    _results.keep("overhead", {"ns": {name: vars(one) for name, one in estimates.items()}, "shares": scopes})
    raise SystemExit(0 if kept else 1)


def _measure(folder: Path) -> dict[str, list[float]]:
    """Nanoseconds of everything, one value a round."""
    workload = prepare.Workload(prepare.find("mlp"), "infer", 1, 0)
    worker = Worker(Path(sys.executable), ADAPTERS / NULL_ADAPTER, folder / "null.log", 1)
    echo = _Echo()
    try:
        worker.greet(TIMEOUT)
        options = {"mode": "noop", "precision": "fp32", "threads": 1}
        bundle = str(workload.bundle(None, "channels-first").folder)
        worker.ask("load", TIMEOUT, network=1, bundle=bundle, device="cpu", options=options)

        def turn(scope: str, repetitions: int) -> list[float]:
            about = {"network": 1, "what": "infer", "scope": scope, "inputs": str(workload.inputs())}
            return list(worker.ask("turn", TIMEOUT, **about, repetitions=repetitions, budget_ns=0)["ns"])

        found: dict[str, list[float]] = {}
        repetitions = {scope: int(SAMPLE_NS / turn(scope, 1000)[0]) for scope in ("device", "call")}
        for _ in range(ROUNDS):
            for scope, count in repetitions.items():
                found.setdefault(f"a step, {scope}", []).append(turn(scope, count)[0])
            turn("device", 1)  # the first after a long one finds its caches cold
            awake = _taken(lambda: turn("device", 1))
            worker.park()
            parked = _taken(lambda: turn("device", 1))
            found.setdefault("a message there and back", []).append(_taken(echo.ask))
            found.setdefault("a turn of one sample", []).append(awake)
            found.setdefault("parking a worker", []).append(_taken(worker.park))
            worker.resume()
            found.setdefault("waking it: a turn when parked less one when awake", []).append(parked - awake)
    finally:
        worker.end()
        echo.end()
    return found


class _Echo:
    """A process that sends every message back: what the wire costs and nothing else."""

    def __init__(self) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._requests)
            with os.fdopen(requests, "rb") as source, os.fdopen(replies, "wb") as target:
                while (message := wire.receive(source)) is not None:
                    wire.send(target, message)
            os._exit(0)
        os.close(requests)
        os.close(replies)
        self._target, self._source = os.fdopen(self._requests, "wb"), os.fdopen(self._replies, "rb")

    def ask(self) -> Any:
        wire.send(self._target, {"do": "turn", "network": 1, "what": "infer", "scope": "device", "repetitions": 100})
        return wire.receive(self._source)

    def end(self) -> None:
        self._target.close()
        os.waitpid(self._process, 0)
        self._source.close()


def _taken(action: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    action()
    return float(time.perf_counter_ns() - begin)


def _scopes(folder: Path, estimates: dict[str, Estimate]) -> list[dict[str, Any]]:
    """For each clock scope: the quickest figure of a run, and which share of it a step that does nothing would be."""
    run = harness.load(folder)
    rows = []
    for scope in ("device", "call"):
        cells = run.cells[run.cells["clock_scope"].eq(scope) & run.cells["median_ns"].notna()]
        null, others = cells[cells["adapter"].eq(NULL_ADAPTER)], cells[cells["adapter"].ne(NULL_ADAPTER)]
        if others.empty:
            continue
        quickest = others.loc[others["median_ns"].idxmin()]
        step = estimates[f"a step, {scope}"].value
        rows.append(
            {
                "scope": scope,
                "quickest_ns": float(quickest["median_ns"]),
                "cell": str(quickest["cell"]),
                "null_ns": step,
                "share_percent": 100 * step / float(quickest["median_ns"]),
                "null_in_the_run_ns": float(numpy.median(null["median_ns"])) if len(null) else None,
            }
        )
    return rows


if __name__ == "__main__":
    main()
