"""From a suite to cells: one cell is one point of the matrix, a comparison is the cells that are measured in turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.adapters import AdapterSpec
from harness.kit import wire
from harness.measure import machine
from harness.suite import Comparisons, Suite

#: Compared with where it ran, because it runs almost everywhere.
PREFERRED_BASELINE = "torch"

#: What the networks of a scenario are made for, where that is not what the scenario's name says.
_PURPOSES = {"coldstart": ("infer",), "roof": ("infer",), "native": ("infer", "train")}


@dataclass(frozen=True)
class Cell:
    """One point of the matrix. purpose: what its network is made for, "infer" or "train".
    cudnn: whether a CUDA device may use cuDNN; on a CPU always True."""

    adapter: str
    device: str
    model: str
    scenario: str
    mode: str
    precision: str
    layout: str
    batch: int
    threads: int
    clock_scope: str
    purpose: str = "infer"
    cudnn: bool = True

    @property
    def comparison(self) -> str:
        """Cells with the same one are compared; figures of different clock scopes or devices never are. A framework's
        hand-written networks are compared with its adapter only."""
        what = f"native-{self.adapter}-{self.purpose}" if self.scenario == "native" else self.scenario
        parts = (self.model, what, f"b{self.batch}", self.clock_scope, self.precision, f"t{self.threads}")
        return "-".join((*parts, self.device))

    @property
    def options(self) -> dict[str, Any]:
        """What its network is loaded with: `adapters.kit.interface.Options`."""
        return {"mode": self.mode, "precision": self.precision, "threads": self.threads, "cudnn": self.cudnn}

    @property
    def id(self) -> str:
        return f"{self.comparison}-{self.adapter}-{self.mode}" + ("" if self.cudnn else "-without-cudnn")


@dataclass(frozen=True)
class Comparison:
    """Cells that are measured in turns. repeats: processes to start, for a cold start."""

    id: str
    cells: tuple[Cell, ...]
    repeats: int

    @property
    def first(self) -> Cell:
        return self.cells[0]


def expand(suite: Suite, adapters: Iterable[AdapterSpec], devices: dict[str, str]) -> list[Comparison]:
    """Every comparison of a suite, model by model, for adapters on the device that `devices` names for each."""
    adapters = list(adapters)
    found: dict[str, Comparison] = {}
    for table in suite.comparisons:
        for model, batch, scope, precision, threads, purpose in _points(table):
            cells = [
                Cell(
                    adapter=adapter.name,
                    device=devices[adapter.name],
                    model=model,
                    scenario=table.scenario,
                    mode=mode,
                    precision=precision,
                    layout=adapter.layout,
                    batch=batch,
                    threads=threads or usable_cores(),
                    clock_scope="cold" if table.scenario == "coldstart" else scope,
                    purpose=purpose,
                    cudnn=cudnn,
                )
                for adapter in adapters
                for cudnn in (table.cudnn if devices[adapter.name] == "cuda" else (True,))
                for mode in _modes(adapter, table, model)
            ]
            for name in dict.fromkeys(cell.comparison for cell in cells):
                group = tuple(cell for cell in cells if cell.comparison == name)
                found.setdefault(name, Comparison(name, group, table.repeats))
    models = list(dict.fromkeys(comparison.first.model for comparison in found.values()))
    return sorted(found.values(), key=lambda comparison: models.index(comparison.first.model))


def baseline(contestants: Sequence[tuple[str, str]]) -> int:
    """Which of a comparison's (adapter, mode) the others are held against: the hand-written network where there is one;
    else PyTorch, because it runs almost everywhere; else the first by name."""

    def rank(index: int) -> tuple[bool, bool, str, int]:
        adapter, mode = contestants[index]
        return mode != wire.NATIVE_MODE, adapter != PREFERRED_BASELINE, adapter, index

    return min(range(len(contestants)), key=rank)


def usable_cores() -> int:
    """Whole CPU cores that this process may use, at least 1."""
    return max(1, int(machine.usable_cores()))


def _points(table: Comparisons) -> Iterable[tuple[str, int, str, str, int, str]]:
    scopes = ("cold",) if table.scenario == "coldstart" else table.clock_scopes
    purposes = _PURPOSES.get(table.scenario, (table.scenario,))
    return itertools.product(table.models, table.batches, scopes, table.precisions, table.threads, purposes)


def _modes(adapter: AdapterSpec, table: Comparisons, model: str) -> list[str]:
    """The asked-for modes that the adapter has; its default mode where none is asked for. Against its hand-written
    network, where there is one: that, and one mode of the adapter."""
    asked = [mode for mode in table.modes if mode in adapter.modes] if table.modes else [adapter.modes[0]]
    if table.scenario != "native":
        return asked
    return [wire.NATIVE_MODE, *asked] if model in adapter.native_models else []
