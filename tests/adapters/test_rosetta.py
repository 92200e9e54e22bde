"""Every Rosetta program and every planted mistake, in the framework's own environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from harness.adapters import AdapterSpec
from harness.ease import mistakes, programs, tasks
from harness.ease.tasks import TASKS, Task
from harness.live import Site
from harness.matrix import usable_cores

TIMEOUT = 300.0

SiteFor = Callable[[str], Site]


@pytest.fixture
def run(adapter: AdapterSpec, site_for: SiteFor, tmp_path: Path) -> Callable[[Task], programs.Attempt]:
    def run(task: Task) -> programs.Attempt:
        environment = site_for(task.purpose).environment
        return programs.run(adapter, task, environment, tmp_path, usable_cores(), TIMEOUT)

    return run


def cannot(adapter: AdapterSpec, task: str) -> bool:
    """Whether a program says of itself that the framework cannot do its task."""
    return programs.CANNOT in programs.file_of(adapter, task).read_text()


@pytest.mark.parametrize("name", TASKS)
def test_a_program_computes_what_numpy_does_or_says_what_its_framework_lacks(
    name: str, adapter: AdapterSpec, run: Callable[[Task], programs.Attempt]
) -> None:
    assert TASKS[name] in programs.asked_of(adapter)
    attempt = run(TASKS[name])
    assert attempt.outcome == ("cannot" if cannot(adapter, name) else "done"), f"{attempt.reason}\n{attempt.log}"
    assert bool(attempt.reason) == (attempt.outcome == "cannot")


@pytest.mark.parametrize("planted", range(1, tasks.BLOCKS + 1))
def test_the_layer_that_makes_a_nan_is_found_wherever_it_is(
    planted: int, adapter: AdapterSpec, run: Callable[[Task], programs.Attempt]
) -> None:
    def prepare(folder: Path, layout: str) -> None:
        tasks.save(folder / "data.npz", tasks.nan_data(planted))

    def objection(results: Mapping[str, numpy.ndarray]) -> str:
        return "" if str(results["layer"]) == f"block{planted}" else f"it named {results['layer']}"

    attempt = run(replace(TASKS["find_nan"], prepare=prepare, objection=objection))
    assert attempt.outcome == ("cannot" if cannot(adapter, "find_nan") else "done"), f"{attempt.reason}\n{attempt.log}"


def test_every_mistake_is_made_and_leads_to_a_diagnosis(
    adapter: AdapterSpec, site_for: SiteFor, tmp_path: Path
) -> None:
    places = {purpose: site_for(purpose).environment for purpose in adapter.scenarios}
    found = list(mistakes.run_all(adapter, places, tmp_path, TIMEOUT))
    asked = {name for name, one in mistakes.read().items() if one.purpose in adapter.scenarios}
    assert {one.mistake for one in found} == asked
    assert not [one.mistake for one in found if one.way == "unwritten"]
    assert all(one.reason for one in found if one.way == "cannot")
    assert all(one.message for one in found if one.caught)
    assert sum(one.caught for one in found) >= 5


def test_the_faulty_line_of_every_mistake_is_marked(adapter: AdapterSpec) -> None:
    planted, _ = mistakes.written(mistakes.file_of(adapter))
    assert not [name for name, line in planted.items() if not line]
    assert set(planted) <= set(mistakes.read())
