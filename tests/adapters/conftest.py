"""Real frameworks: `pytest tests/adapters --adapter torch-cpu` runs one adapter in its own environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import environments
from harness.adapters import AdapterSpec, find_adapter
from harness.live import LiveCell, Site, start
from harness.matrix import Cell, usable_cores
from harness.spec import prepare
from harness.spec.prepare import Workload

#: What is run for one adapter only: faults are planted into one; the reference is held against one oracle.
_ONLY_FOR = {"test_planted_faults.py": "torch-cpu", "test_real_questions.py": "onnxruntime-cpu"}

#: Seconds that any one request may take on a slow machine.
TIMEOUT = 600.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not metafunc.config.getoption("--adapter"):
        pytest.exit("tests/adapters needs --adapter ADAPTER-DEVICE, for example --adapter torch-cpu", returncode=2)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    only = _ONLY_FOR.get(collection_path.name)
    return True if only is not None and config.getoption("--adapter") != only else None


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--adapter")).rpartition("-")[2]


@pytest.fixture(scope="session")
def adapter(request: pytest.FixtureRequest) -> AdapterSpec:
    return find_adapter(str(request.config.getoption("--adapter")).rpartition("-")[0])


@pytest.fixture(scope="session")
def site_for(adapter: AdapterSpec, device: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Site]:
    """The adapter where it infers or trains, its environment made from its lock."""
    logs = tmp_path_factory.mktemp("logs")
    known: dict[str, Site] = {}

    def find(scenario: str) -> Site:
        if scenario not in known:
            site = Site(adapter.name, adapter.folder, environments.ensure(adapter, device, scenario), {})
            worker = start(site, logs / f"{scenario}.log", usable_cores(), device)
            hello = worker.ask("hello", TIMEOUT)
            worker.end()
            known[scenario] = Site(adapter.name, adapter.folder, site.environment, hello)
        return known[scenario]

    return find


@pytest.fixture
def live(
    adapter: AdapterSpec, device: str, site_for: Callable[[str], Site], tmp_path: Path
) -> Iterator[Callable[..., LiveCell]]:
    """Makes a cell with its network loaded in a worker of its own."""
    made: list[LiveCell] = []

    def load(
        model: str,
        scenario: str,
        batch: int = 2,
        mode: str = "",
        precision: str = "fp32",
        threads: int = 0,
        **options: object,
    ) -> LiveCell:
        source = prepare.find(model)
        workload = Workload(source, scenario, batch, seed=0)
        mode, threads = mode or adapter.modes[0], threads or usable_cores()
        where = (precision, adapter.layout, batch, threads, "device", scenario)
        cell = Cell(adapter.name, device, model, scenario, mode, *where)
        site = site_for(scenario)
        one = LiveCell(cell, site, workload, tmp_path, TIMEOUT, network=len(made) + 1)
        made.append(one)
        one.worker = start(site, tmp_path / "worker.log", cell.threads, device)
        one.worker.ask("hello", TIMEOUT)
        one.load({"mode": mode, "precision": precision, "threads": threads, **options})
        return one

    yield load
    for one in made:
        if one.worker is not None:
            one.worker.end()
