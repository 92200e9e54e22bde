"""Look after the environments that were made: list them, remove them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.environments import uv
from harness.environments.making import alone, failure_note, find, folders, no_python, obstacle, read_record


@dataclass(frozen=True)
class Listed:
    """One environment, made or not.

    state: "made"; "absent" (can be tried; `reason`: how the last try failed); "impossible" here, for `reason`;
    "stale": made from a lock that is no more, or not whole.
    """

    adapter: str
    environment: str
    device: str
    state: str
    reason: str = ""
    python: str = ""
    lock: str = ""
    bytes_on_disk: int | None = None
    folder: Path | None = None


def listing(adapters: Iterable[AdapterSpec], device: str | None = None) -> list[Listed]:
    """Every environment of these adapters, and stale folders of theirs. Makes nothing."""
    found = uv.interpreters()
    rows = []
    for adapter in adapters:
        for spec in adapter.environments:
            if device in (None, spec.device):
                current = _listed(adapter, spec, found)
                rows += [current, *_stale(adapter, spec, current.folder)]
    return rows


def _listed(adapter: AdapterSpec, spec: EnvironmentSpec, found: dict[str, uv.Interpreter]) -> Listed:
    identity = (adapter.name, spec.name, spec.device)
    problem = obstacle(spec)
    made = find(adapter, spec)
    if made is not None:
        folder, record = made
        return Listed(
            *identity, "made", problem, record["python_version"], record["lock"], record["bytes_on_disk"], folder
        )
    interpreter = uv.choose(spec.python, found)
    if interpreter is None:
        problem = problem or no_python(spec, found).reason
    version = interpreter.version if interpreter else ""
    if problem:
        return Listed(*identity, "impossible", problem, version)
    note = failure_note(adapter, spec)
    return Listed(*identity, "absent", f"the last try failed: {note.read_text()}" if note.is_file() else "", version)


def _stale(adapter: AdapterSpec, spec: EnvironmentSpec, current: Path | None) -> list[Listed]:
    """Folders of an environment beside the one that is used."""
    rows = []
    for folder in folders(adapter, spec):
        record = read_record(folder)
        if folder == current:
            continue
        if record is None or folder.name.startswith("."):
            rows.append(Listed(adapter.name, spec.name, spec.device, "stale", "not whole", folder=folder))
        else:
            reason, size = "another lock took its place", record["bytes_on_disk"]
            python, lock = record["python_version"], record["lock"]
            rows.append(Listed(adapter.name, spec.name, spec.device, "stale", reason, python, lock, size, folder))
    return rows


def remove(adapters: Iterable[AdapterSpec], device: str | None = None, only_stale: bool = False) -> list[Listed]:
    """Remove the environments of these adapters, or only the stale ones; those that were removed."""
    removed = []
    for row in listing(adapters, device):
        if row.folder is None or (only_stale and row.state != "stale"):
            continue
        with alone(f"{row.adapter}-{row.environment}"):  # what looks stale may just be in the making
            if row.folder.exists():
                shutil.rmtree(row.folder)
                removed.append(row)
    return removed
