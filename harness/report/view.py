"""What every form of the report shows: the cells of a run, named, ordered and put together by task.

A task is what several adapters were asked to do: one comparison on one device by one clock. A contestant is who
did it: an adapter, and its mode or precision where a run has several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas

from harness.kit import wire
from harness.report.humanise import known, many
from harness.results import NULL_ADAPTER, Run

Row = dict[str, Any]

#: Clock scopes in the order of the report: (scope, title, what it measures).
SCOPES = (
    (
        "device",
        "Time on the device",
        "Inputs and outputs stay on the device; the clock starts and stops with the device synchronized.",
    ),
    ("call", "Time of a call", "From numpy arrays to numpy arrays: copies to and from the device are part of it."),
    ("cold", "Cold start", "From the start of the process to the first result."),
    ("pipeline", "Pipeline", "From a file on the disk to the finished step."),
)

#: Contestants in the order of the report; others follow by name.
_ADAPTERS = ("torch", "tensorflow", "mxnet", "caffe2", "onnxruntime")
_TASK_KEY = ("comparison", "model", "scenario", "batch", "device", "clock_scope")
_SCENARIOS = ("roof", "infer", "train", "native", "coldstart")

#: Scenarios that compare no frameworks: what the machine can do, and an adapter against its framework by hand.
ROOF, NATIVE = "roof", "native"
STATUSES = ("ok", "wrong", "unsupported", "failed", "timeout")


@dataclass(frozen=True)
class Task:
    """cells: by contestant, in the order of contestants."""

    model: str
    what: str
    scope: str
    scenario: str
    cells: dict[str, Row]

    @property
    def name(self) -> str:
        return f"{self.model} · {self.what}"

    @property
    def first(self) -> Row:
        """Any of its cells: what tells the task from others is the same in all."""
        return next(iter(self.cells.values()))

    @property
    def baseline(self) -> Row | None:
        """The cell that the others are compared with."""
        return next((row for row in self.cells.values() if row["verdict"] == "baseline"), None)


@dataclass(frozen=True)
class Problem:
    """Why a contestant shows no time for these tasks. log: a path inside the run's folder, or empty."""

    contestant: str
    status: str
    reason: str
    log: str
    tasks: list[str]


@dataclass(frozen=True)
class View:
    """contestants: of `tasks`, so without the null adapter, whose rows are in `null`, and without hand-written
    networks, whose tasks are in `native`. stray: cells of which only the id is known."""

    contestants: list[str]
    adapter_of: dict[str, str]
    tasks: list[Task]
    native: list[Task]
    null: list[Row]
    stray: list[Row]

    def scopes(self) -> list[tuple[str, str, str, list[Task]]]:
        """(scope, title, explanation, its tasks) for each clock scope that has any. What the machine can do at most is
        no comparison of frameworks, and not among them."""
        compared = [task for task in self.tasks if task.scenario != ROOF]
        present = list(dict.fromkeys(task.scope for task in compared))
        described = [scope for scope in SCOPES if scope[0] in present]
        described += [(scope, f"Clock scope {scope}", "") for scope in present if scope not in {s[0] for s in SCOPES}]
        return [(name, title, text, [t for t in compared if t.scope == name]) for name, title, text in described]

    def cells(self) -> list[tuple[Task, str, Row]]:
        """Every cell with its task and contestant."""
        tasks = [*self.tasks, *self.native]
        return [(task, contestant, row) for task in tasks for contestant, row in task.cells.items()]

    def problems(self) -> list[Problem]:
        """Every cell that is not ok, wrong ones first; those of one contestant with one reason together."""
        found = [(f"{task.name} ({task.scope})", name, row) for task, name, row in self.cells()]
        found += [
            (f"{row['model']} · {_what([row], [])} ({row['clock_scope']})", NULL_ADAPTER, row) for row in self.null
        ]
        found += [(row["cell"], "", row) for row in self.stray]
        groups: dict[tuple[str, str, str, str], list[str]] = {}
        for task, contestant, row in sorted(found, key=lambda entry: _rank(entry[2]["status"], STATUSES)):
            if row["status"] != "ok":
                key = (contestant, row["status"], row["reason"] or "no reason given", row["log"] or "")
                groups.setdefault(key, []).append(task)
        return [Problem(*key, tasks) for key, tasks in groups.items()]


def view(run: Run) -> View:
    """Order and name the cells of a run."""
    rows = records(run.cells)
    stray = [row for row in rows if not (row["adapter"] and row["model"] and row["scenario"])]
    rows = [row for row in rows if row not in stray]
    null = [row for row in rows if row["adapter"] == NULL_ADAPTER]
    others = [row for row in rows if row["adapter"] != NULL_ADAPTER]
    names = _contestants(others)
    order = sorted(dict.fromkeys(names.values()), key=lambda name: _contestant_rank(name, names, others))
    of_cell = {names[row["cell"]]: row["adapter"] for row in others}
    models = list(dict.fromkeys([*run.models["model"].dropna(), *(row["model"] for row in rows)]))
    tasks = _tasks(others, names, order, models)
    compared = [task for task in tasks if task.scenario != NATIVE]
    present = {name for task in compared for name in task.cells}
    return View(
        contestants=[name for name in order if name in present],
        adapter_of={name: of_cell[name] for name in order},
        tasks=compared,
        native=[task for task in tasks if task.scenario == NATIVE],
        null=_sorted(null, models),
        stray=stray,
    )


def records(frame: pandas.DataFrame) -> list[Row]:
    """The rows of a frame as dictionaries, None where a value is missing."""
    return [
        {key: value if isinstance(value, list | dict) or known(value) else None for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _contestants(rows: list[Row]) -> dict[str, str]:
    """The contestant of each cell: its adapter, and what sets it apart where one comparison has several of it. A
    hand-written network is named after its framework and is no mode of the adapter's."""
    seen: dict[tuple[Any, ...], set[Any]] = {}
    for row in rows:
        if row["mode"] == wire.NATIVE_MODE:
            continue
        for key in ("mode", "layout", "precision", "cudnn"):
            place = (row["adapter"], key, *(row[name] for name in _TASK_KEY))
            seen.setdefault(place, set()).add(row[key])
    apart = {(place[0], place[1]) for place, values in seen.items() if len(values) > 1}
    names = {}
    for row in rows:
        words = [row[key] for key in ("mode", "layout", "precision") if (row["adapter"], key) in apart]
        words += ["without cuDNN"] if row["cudnn"] is False else []
        if row["mode"] == wire.NATIVE_MODE:
            words = [wire.NATIVE_MODE]
        names[row["cell"]] = " ".join([row["adapter"], *(str(word) for word in words)])
    return names


def _tasks(rows: list[Row], names: dict[str, str], order: list[str], models: list[str]) -> list[Task]:
    several = [key for key in ("precision", "device", "threads") if len({row[key] for row in rows}) > 1]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in _sorted(rows, models):
        groups.setdefault(tuple(row[name] for name in _TASK_KEY), []).append(row)
    tasks = []
    for group in groups.values():
        first = group[0]
        cells = {names[row["cell"]]: row for row in group}
        tasks.append(
            Task(
                model=first["model"],
                what=_what(group, several),
                scope=first["clock_scope"] or "unknown",
                scenario=first["scenario"],
                cells={name: cells[name] for name in order if name in cells},
            )
        )
    return tasks


def _what(group: list[Row], several: list[str]) -> str:
    """The task in words: its scenario and batch, and of what the run has several, what all of its cells share."""
    first = group[0]
    words = [f"{NATIVE} {first['purpose'] or ''}".strip() if first["scenario"] == NATIVE else first["scenario"]]
    words += [f"batch {first['batch']}"] if first["batch"] is not None else []
    for key in several:
        if first[key] is not None and all(row[key] == first[key] for row in group):
            words.append(many(first[key], "thread") if key == "threads" else str(first[key]))
    return " · ".join(words)


def _sorted(rows: list[Row], models: list[str]) -> list[Row]:
    return sorted(
        rows,
        key=lambda row: (
            models.index(row["model"]),
            _rank(row["scenario"], _SCENARIOS),
            row["batch"] or 0,
            row["device"] or "",
            row["threads"] or 0,
        ),
    )


def _contestant_rank(name: str, names: dict[str, str], rows: list[Row]) -> tuple[int, str, int]:
    """Adapters in their order; the contestants of one adapter as the journal has them."""
    first = next(i for i, row in enumerate(rows) if names[row["cell"]] == name)
    return *adapter_rank(rows[first]["adapter"]), first


def adapter_rank(adapter: str) -> tuple[int, str]:
    """A key that sorts adapters into the order of every report."""
    return _rank(adapter, _ADAPTERS), adapter


def _rank(word: str | None, known_words: tuple[str, ...]) -> int:
    return known_words.index(word) if word in known_words else len(known_words)
