"""The machine that a run happens on: what it is, and whether it is fit to measure on.

Its name on the network is left out on purpose: a report may be published.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: Variables that change how fast a framework is, by their first letters.
VARIABLES = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "CUDA_VISIBLE_DEVICES")

#: Load average per core above which something else is running.
LOAD_LIMIT = 0.5

#: Percent of CPU time taken by the host's other guests.
STEAL_LIMIT = 1.0

#: Share of the memory's size that may lie in swap.
SWAP_LIMIT = 0.01

_ROOT = Path("/")


def facts(root: Path = _ROOT) -> dict[str, Any]:
    """What a reader has to know to judge the figures; None where the machine does not say.

    root: where proc/, sys/ and etc/ are looked for.
    """
    return {
        "cpu": _cpu(root),
        "architecture": platform.machine(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(root),
        "governor": _governor(root),
        "memory_bytes": psutil.virtual_memory().total,
        "os": _os(root),
        "kernel": platform.release(),
        "virtual": _virtual(root),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "gpus": _gpus(),
        "python": platform.python_version(),
        "harness_version": _harness_version(),
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
    }


def fitness(root: Path = _ROOT) -> list[str]:
    """Why figures from this machine may be worth less just now; empty where nothing speaks against it."""
    findings = [_busy(), _slow_clock(root), _swapping(), _on_battery(), _stolen()]
    return [finding for finding in findings if finding]


def usable_cores(root: Path = _ROOT) -> float:
    """Logical cores that this process may use: its affinity, or its control group's quota where that is less."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, int(quota[0]) / int(quota[1]))
    return cores


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _cpu(root: Path) -> str | None:
    """The model's name; on processors that have none in /proc (many of ARM), what Python says."""
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine() or None


def _governor(root: Path) -> str | None:
    """How the clock frequency is chosen; several where the cores differ."""
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({_read(file) for file in files} - {""})) or None


def _os(root: Path) -> str:
    for line in _read(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def _virtual(root: Path) -> str | None:
    """What stands between us and the hardware: a hypervisor, a container, or nothing (None)."""
    found = []
    if " hypervisor" in _read(root / "proc/cpuinfo"):
        product = _read(root / "sys/class/dmi/id/sys_vendor") or _read(root / "sys/hypervisor/type")
        found.append(f"virtual machine ({product})" if product else "virtual machine")
    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        found.append("container")
    return ", ".join(found) or None


def _harness_version() -> str | None:
    try:
        return metadata.version("harness")
    except metadata.PackageNotFoundError:  # used from a checkout that is not installed
        return None


def _gpus() -> list[dict[str, Any]]:
    from harness import devices

    return [asdict(gpu) for gpu in devices.gpus()]


def _busy() -> str | None:
    load, cores = os.getloadavg()[0], psutil.cpu_count() or 1
    if load <= LOAD_LIMIT * cores:
        return None
    return f"The load average is {load:.1f} on {cores} cores: something else is running, and takes part in the figures."


def _slow_clock(root: Path) -> str | None:
    governor = _governor(root) or ""
    if "powersave" not in governor:
        return None
    return f"The frequency governor is {governor!r}: the clock may be slow or vary. `performance` is steadier."


def _swapping() -> str | None:
    used, memory = psutil.swap_memory().used, psutil.virtual_memory().total
    if used <= SWAP_LIMIT * memory:
        return None
    return f"{used / 2**20:.0f} MiB lie in swap: memory is, or was, short."


def _on_battery() -> str | None:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None or battery.power_plugged is not False:
        return None
    return "The machine runs on its battery: its clock may be held down."


def _stolen(seconds: float = 0.3) -> str | None:
    steal = getattr(psutil.cpu_times_percent(interval=seconds), "steal", 0.0)
    if steal <= STEAL_LIMIT:
        return None
    return f"{steal:.0f} % of the CPU time goes to other guests of this virtual machine's host (steal)."
