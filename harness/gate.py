"""The gate that every cell passes before it is timed: loaded, judged, and where it is wrong, followed to the first
tensor that is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from harness import locate
from harness.live import LiveCell
from harness.matrix import usable_cores
from harness.results import NULL_ADAPTER
from harness.worker import WorkerFailed


def judge(live: list[LiveCell], scenario: ModuleType, options: Callable[[LiveCell], dict[str, Any]]) -> None:
    """Load every cell's network and hold what it computes against the reference, and the cells against each other.

    scenario: a module with `gate` and `compare`. options: what a cell's network is loaded with. The null adapter
    computes nothing, by design, and is not judged.
    """
    guarded(live, lambda one: _load(one, options(one)), in_parallel=True)
    judged = [one for one in live if one.cell.adapter != NULL_ADAPTER]
    guarded(judged, scenario.gate, in_parallel=True)
    scenario.compare(judged)
    for one in judged:
        one.object()
    for one in judged:
        if one.status == "wrong" and one.cell.precision == "fp32":
            _follow(one, options(one))


def guarded(live: list[LiveCell], step: Callable[[LiveCell], None], in_parallel: bool = False) -> None:
    """Do a step for every cell that is well; a cell that fails it is out, the others go on.

    in_parallel: for what is not measured; each cell has a worker of its own.
    """

    def attempt(one: LiveCell) -> None:
        try:
            step(one)
        except WorkerFailed as failure:
            one.fail(failure)
        finally:
            if one.worker is not None:
                one.worker.park()

    well = [one for one in live if one.well]
    if in_parallel:
        with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
            list(pool.map(attempt, well))
    else:
        for one in well:
            attempt(one)


def _load(one: LiveCell, options: dict[str, Any]) -> None:
    assert one.worker is not None
    one.worker.greet(one.timeout)
    reply = one.load(options)
    assert one.bundle is not None
    one.facts |= {"load_ns": reply["read_ns"] + reply["lower_ns"], **reply["facts"]}
    if one.bundle.rewritten:
        one.facts["rewritten"] = one.bundle.rewritten


def _follow(one: LiveCell, options: dict[str, Any]) -> None:
    """Say where a wrong cell goes wrong first, as far as its worker still answers."""
    try:
        found = locate.first_wrong(one, options)
    except WorkerFailed as failure:
        one.facts["first_wrong"] = f"could not be followed: {failure.reason}"
        return
    finally:
        if one.worker is not None:
            one.worker.park()
    if found is not None:
        one.facts["first_wrong"] = {"tensor": found.tensor, "node": found.node, "error": found.error}
        one.finding.reason += f"; {found}"
