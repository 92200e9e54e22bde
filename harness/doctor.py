"""What can run on this machine, what cannot, why, and what to do about it. Looks only; installs nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness import devices
from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.devices import Devices
from harness.environments import listing, uv
from harness.environments.upkeep import Listed
from harness.errors import HarnessError
from harness.measure import machine
from harness.paths import home

#: Room that the five frameworks' CPU environments take, and uv's cache of the same files, in bytes.
ROOM_NEEDED = 12 * 10**9

#: Memory below which the larger models of the zoo are likely to be killed, in bytes.
MEMORY_NEEDED = 4 * 10**9


@dataclass(frozen=True)
class Verdict:
    """Whether an adapter can run in one of its environments. ready: the environment is made.

    Where it cannot, `reason` says why; `advice` says what to do next in any case where there is something to do.
    """

    adapter: str
    environment: str
    device: str
    scenarios: tuple[str, ...]
    can_run: bool
    ready: bool
    reason: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One fact about the machine. ok: nothing has to be done; otherwise `advice` says what could."""

    about: str
    found: str
    ok: bool = True
    advice: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found. warnings: why figures from this machine may be worth less just now."""

    checks: list[Check]
    verdicts: list[Verdict]
    devices: Devices
    warnings: list[str]


def examine(adapters: Iterable[AdapterSpec]) -> Diagnosis:
    """Look at the machine and at every environment of these adapters."""
    adapters = list(adapters)
    found = devices.examine()
    facts = machine.facts()
    checks = [*_tools(), _gpu(found), *_room(), *_processor(facts), _system()]
    return Diagnosis(checks, _verdicts(adapters), found, machine.fitness())


# Adapters ------------------------------------------------------------------------------------------------------------


def _verdicts(adapters: list[AdapterSpec]) -> list[Verdict]:
    try:
        rows = {(row.adapter, row.environment): row for row in listing(adapters) if row.state != "stale"}
    except HarnessError as error:  # no uv: nothing can be made
        return [
            Verdict(adapter.name, spec.name, spec.device, spec.scenarios, False, False, error.what, error.advice)
            for adapter in adapters
            for spec in adapter.environments
        ]
    return [
        _verdict(adapter, spec, rows[adapter.name, spec.name]) for adapter in adapters for spec in adapter.environments
    ]


def _verdict(adapter: AdapterSpec, spec: EnvironmentSpec, row: Listed) -> Verdict:
    advice = "" if row.state == "made" else f"harness env sync {adapter.name} --device {spec.device}"
    if row.reason.startswith("needs Python"):
        advice = f"Install Python {spec.python[0]} and put it on PATH, for example: uv python install {spec.python[0]}"
    elif row.reason.startswith("no NVIDIA GPU"):
        advice = "Use the CPU, or a machine with an NVIDIA GPU and its driver."
    elif row.state == "impossible":
        advice = "Use the CPU, or another GPU or driver."
    scenarios = tuple(name for name in spec.scenarios if name in adapter.scenarios)
    can_run = row.state == "absent" or (row.state == "made" and not row.reason)
    return Verdict(adapter.name, spec.name, spec.device, scenarios, can_run, row.state == "made", row.reason, advice)


# The machine ---------------------------------------------------------------------------------------------------------


def _tools() -> list[Check]:
    try:
        interpreters = uv.interpreters()
        found = Check("uv", uv.version())
    except HarnessError as error:
        return [Check("uv", error.what, False, error.advice)]
    versions = ", ".join(interpreter.version for interpreter in interpreters.values())
    names = ("c++", "g++", "clang++")
    compiler = next((path for path in map(shutil.which, (os.environ.get("CXX") or "c++", *names)) if path), None)
    return [
        found,
        Check("Python", versions or "uv finds none", bool(versions), "Put a Python on PATH."),
        Check("C++ compiler", compiler or "none (only PyTorch's compiled mode needs one)"),
    ]


def _gpu(found: Devices) -> Check:
    if found.problem:
        return Check("GPU", found.problem, True, "Without one, cuda cells cannot run; all else can.")
    names = ", ".join(
        f"{gpu.name} (compute capability {'.'.join(map(str, gpu.compute_capability))})" for gpu in found.gpus
    )
    return Check("GPU", f"{names}, driver {found.driver_version}")


def _room() -> list[Check]:
    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    memory = psutil.virtual_memory()
    writable = os.access(existing, os.W_OK)
    return [
        Check(
            "disk",
            f"{_gigabytes(free)} free in {folder}" + ("" if writable else ", which cannot be written to"),
            writable and free >= ROOM_NEEDED,
            f"The five frameworks take up to {_gigabytes(ROOM_NEEDED)}; HARNESS_HOME names another folder.",
        ),
        Check(
            "memory",
            f"{_gigabytes(memory.available)} of {_gigabytes(memory.total)} available",
            memory.available >= MEMORY_NEEDED,
            f"Below {_gigabytes(MEMORY_NEEDED)} the larger models may be killed for memory: end other programs.",
        ),
    ]


def _processor(facts: dict[str, Any]) -> list[Check]:
    governor = facts["governor"]
    return [
        Check("CPU", f"{facts['cpu']}, {facts['usable_cores']:g} of {facts['logical_cores']} cores usable"),
        Check(
            "CPU governor",
            governor or "the machine does not say",
            governor in (None, "performance"),
            "A fixed clock measures more evenly: cpupower frequency-set -g performance",
        ),
    ]


def _system() -> Check:
    """Workers are parked by signals and spoken to over inherited pipes: both are POSIX."""
    posix = os.name == "posix"
    advice = "Workers need POSIX signals and pipes: use Linux, macOS or WSL."
    waiting = Path("/proc/self/schedstat").exists()
    found = (
        os.name
        if waiting or not posix
        else f"{os.name}, without /proc: samples that waited for a CPU are not told apart"
    )
    return Check("system", found, posix, advice)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
