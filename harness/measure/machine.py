"""The machine that a run happens on: what it is, whether it is fit to measure on, and what befell it meanwhile.

Its name on the network and paths of it are left out on purpose: a report may be published. What is read under /proc and
/sys is described in Linux's documentation: admin-guide/cgroup-v2 (cpu.max, cpu.stat), admin-guide/pm/cpufreq,
filesystems/proc (stat), ABI/testing/sysfs-devices-system-cpu (topology, thermal_throttle).
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: Variables that change how fast a framework is, by their first letters.
VARIABLES = (
    "OMP_", "MKL_", "OPENBLAS_", "KMP_", "DNNL_", "ONEDNN_", "ATEN_CPU_CAPABILITY", "TF_ENABLE_ONEDNN_OPTS",
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip

#: Variables that hold a library back or push it: {name: (what it acts on, values in capitals that change nothing)}.
HOLDING_BACK = {
    "OPENBLAS_CORETYPE": ("OpenBLAS", ()),
    "MKL_ENABLE_INSTRUCTIONS": ("MKL", ()),
    "MKL_CBWR": ("MKL", ("OFF", "AUTO")),
    "DNNL_MAX_CPU_ISA": ("oneDNN", ("ALL", "DEFAULT")),
    "ONEDNN_MAX_CPU_ISA": ("oneDNN", ("ALL", "DEFAULT")),
    "DNNL_DEFAULT_FPMATH_MODE": ("oneDNN", ("STRICT",)),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("oneDNN", ("STRICT",)),
    "ATEN_CPU_CAPABILITY": ("PyTorch", ()),
    "TF_ENABLE_ONEDNN_OPTS": ("TensorFlow", ("1",)),
    "NVIDIA_TF32_OVERRIDE": ("cuBLAS and cuDNN", ()),
    "CUDA_LAUNCH_BLOCKING": ("CUDA", ("0",)),
}

#: Load average per core above which something else is running.
LOAD_LIMIT = 0.5

#: Percent of CPU time taken by the host's other guests.
STEAL_LIMIT = 1.0

#: Share of the memory's size that may lie in swap.
SWAP_LIMIT = 0.01

#: The highest clock frequency over the lowest, from which on it has moved.
CLOCK_LIMIT = 1.1

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
        "smt": _smt(root),
        "numa_nodes": len(_numa_nodes(root)) or None,
        "governor": _governor(root),
        "turbo": _turbo(root),
        "memory_bytes": psutil.virtual_memory().total,
        "transparent_hugepages": _hugepages(root),
        "os": _os(root),
        "kernel": platform.release(),
        "virtual": _virtual(root),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "gpus": _gpus(),
        "energy": _energy(root),
        "python": platform.python_version(),
        "harness_version": _harness_version(),
        "variables": {name: _shown(value) for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
    }


def fitness(root: Path = _ROOT) -> list[str]:
    """Why figures from this machine may be worth less just now; empty where nothing speaks against it.

    What only shows while a run goes on is `Watch`'s business.
    """
    findings = [
        _busy(),
        _slow_clock(root),
        _turbo_on(root),
        _swapping(),
        _on_battery(),
        _stolen(),
        _rationed(root),
        _shared_cores(root),
        _apart(root),
        *_held_back(),
    ]
    return [finding for finding in findings if finding]


class Watch:
    """What befell the machine while a run went on: `begin` at its start, `look` now and then outside of anything timed
    (between comparisons, say), `findings` at its end."""

    def __init__(self, root: Path = _ROOT):
        self._root = root
        self._heat: dict[str, int] = {}
        self._rations: dict[str, tuple[int, float]] = {}
        self._ticks = (0, 0)
        self._clocks: list[float] = []

    def begin(self) -> None:
        """Note where every counter stands."""
        self._heat, self._rations, self._ticks = _heat(self._root), _rations(self._root), _ticks(self._root)
        self._clocks = []
        self.look()

    def look(self) -> None:
        """Note how fast the fastest core's clock is now: idle ones are slow for no reason that matters."""
        fastest = max(_clocks(self._root), default=0.0)
        if fastest > 0:
            self._clocks.append(fastest)

    def findings(self) -> list[str]:
        """Why this run's figures may be worth less, a sentence each; empty where nothing is known to have happened."""
        self.look()
        findings = [self._throttled(), self._rationed(), self._stolen(), self._moved()]
        return [finding for finding in findings if finding]

    def _throttled(self) -> str | None:
        """Cores of a package count the same event, each for itself: the largest increase, not their sum."""
        times = max((count - self._heat.get(name, count) for name, count in _heat(self._root).items()), default=0)
        if times <= 0:
            return None
        return f"The CPU was throttled {times} times during the run because it was too hot: its clock was held down."

    def _rationed(self) -> str | None:
        most, seconds = 0, 0.0
        for name, (times, held) in _rations(self._root).items():
            before, held_before = self._rations.get(name, (times, held))
            if times - before > most:
                most, seconds = times - before, held - held_before
        if not most:
            return None
        return (
            f"The CPU was throttled {most} times during the run by a control group's quota, for {seconds:.1f} s in "
            "all: use no more threads than the quota allows, or lift it."
        )

    def _stolen(self) -> str | None:
        (stolen, everything), (stolen_before, before) = _ticks(self._root), self._ticks
        if not before or everything <= before:
            return None
        percent = 100 * (stolen - stolen_before) / (everything - before)
        if percent <= STEAL_LIMIT:
            return None
        return f"{percent:.0f} % of the CPU time was stolen during the run: it went to other guests of this host."

    def _moved(self) -> str | None:
        if not self._clocks or max(self._clocks) <= CLOCK_LIMIT * min(self._clocks):
            return None
        low, high = min(self._clocks), max(self._clocks)
        return (
            f"The clock frequency moved between {low / 1e9:.2f} and {high / 1e9:.2f} GHz during the run: hold ratios "
            "of one comparison against each other rather than times of several."
        )


def usable_cores(root: Path = _ROOT) -> float:
    """Logical cores that this process may use: its affinity, or its control groups' quota where that is less."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _quota(root)
    return cores if quota is None else min(cores, quota)


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


def _shown(value: str) -> str:
    """A variable's value, unless it says where things lie on this machine."""
    return "(a path)" if re.search(r"[/\\~]", value) else value


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _listed(text: str) -> set[int]:
    """The numbers of a list as the kernel writes it: "0-2,8"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _within_reach(cpus: set[int]) -> set[int]:
    return cpus & os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else cpus


def _cores(root: Path) -> set[frozenset[int]]:
    """Physical cores, each as the numbers of its logical ones; empty where the machine does not say."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    return {frozenset(_listed(_read(file))) for file in files} - {frozenset()}


def _smt(root: Path) -> bool | None:
    """Whether logical cores share physical ones (simultaneous multithreading)."""
    cores = _cores(root)
    return any(len(core) > 1 for core in cores) if cores else None


def _numa_nodes(root: Path) -> list[set[int]]:
    """The logical cores of every part of the memory that has some."""
    files = sorted((root / "sys/devices/system/node").glob("node[0-9]*/cpulist"))
    return [cpus for cpus in (_listed(_read(file)) for file in files) if cpus]


def _turbo(root: Path) -> bool | None:
    """Whether the clock may go beyond its nominal frequency."""
    folder = root / "sys/devices/system/cpu"
    no_turbo = _read(folder / "intel_pstate/no_turbo")
    if no_turbo:
        return no_turbo == "0"
    files = [folder / "cpufreq/boost", *folder.glob("cpufreq/policy[0-9]*/boost")]
    states = {_read(file) for file in files} - {""}
    return "1" in states if states else None


def _hugepages(root: Path) -> str | None:
    """The kernel's policy of transparent huge pages: always, madvise or never."""
    chosen = re.search(r"\[(\w+)\]", _read(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    return chosen[1] if chosen else None


def _energy(root: Path) -> dict[str, str]:
    """For each counter of energy "", or why it cannot be read."""
    from harness.measure.energy import Meter
    from harness.measure.gpu import Nvml

    with Nvml() as nvml:
        return Meter(root, nvml).available()


def _control_groups(root: Path) -> Iterator[Path]:
    """Folders of the control groups that ration this process's CPU time: those of version 2, and of version 1's
    controller of CPUs, each with the groups that it lies in."""
    for line in ["0::/", "0:cpu:/", *_read(root / "proc/self/cgroup").splitlines()]:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder == top or top in folder.parents)


def _quota(root: Path) -> float | None:
    """CPUs that the narrowest quota allows; None where there is none."""
    shares = []
    for group in _control_groups(root):
        words = _read(group / "cpu.max").split() or [
            _read(group / "cpu.cfs_quota_us"),
            _read(group / "cpu.cfs_period_us"),
        ]
        numbers = [_number(word) for word in words]
        if len(numbers) == 2 and numbers[0] and numbers[1]:
            shares.append(numbers[0] / numbers[1])
    return min(shares, default=None)


def _rations(root: Path) -> dict[str, tuple[int, float]]:
    """{control group: (how often its quota was used up before its period was over, seconds that it waited then)}."""
    found = {}
    for group in set(_control_groups(root)):
        lines = (line.split() for line in _read(group / "cpu.stat").splitlines())
        counts = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}
        if "nr_throttled" in counts:
            seconds = counts.get("throttled_usec", 0) / 1e6 + counts.get("throttled_time", 0) / 1e9
            found[str(group)] = (counts["nr_throttled"], seconds)
    return found


def _heat(root: Path) -> dict[str, int]:
    """{counter: how often a core or its package was too hot}, of processors that count it."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = {str(file): _number(_read(file)) for file in files}
    return {name: count for name, count in counts.items() if count is not None}


def _ticks(root: Path) -> tuple[int, int]:
    """(stolen, all) time of all CPUs so far, in the kernel's ticks; zeros where it does not say."""
    words = _read(root / "proc/stat").partition("\n")[0].split()
    ticks = [int(word) for word in words[1:9] if word.isdecimal()]
    return (ticks[7], sum(ticks)) if len(ticks) == 8 and words[0] == "cpu" else (0, 0)


def _clocks(root: Path) -> list[float]:
    """Every core's clock frequency now, in Hz."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    kilohertz = [_number(_read(file)) for file in files]
    if any(kilohertz):
        return [value * 1e3 for value in kilohertz if value]
    return [float(text) * 1e6 for text in re.findall(r"(?m)^cpu MHz\s*:\s*([\d.]+)$", _read(root / "proc/cpuinfo"))]


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


def _turbo_on(root: Path) -> str | None:
    if not _turbo(root):
        return None
    return "Turbo is on: how fast the clock runs depends on heat and on how many cores work."


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


def _rationed(root: Path) -> str | None:
    quota = _quota(root)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if quota is None or quota >= cores:
        return None
    return f"A control group's quota allows {quota:g} of {cores} CPUs: with more threads, all are stopped at times."


def _shared_cores(root: Path) -> str | None:
    reached = [reach for reach in (_within_reach(set(core)) for core in _cores(root)) if reach]
    logical = sum(map(len, reached))
    if logical == len(reached):
        return None
    return (
        f"{logical} logical cores share {len(reached)} physical ones (SMT): two threads on one core slow each other. "
        f"Up to --threads {len(reached)} each can have its own."
    )


def _apart(root: Path) -> str | None:
    nodes = [node for node in _numa_nodes(root) if _within_reach(node)]
    if len(nodes) < 2:
        return None
    return (
        f"The memory is in {len(nodes)} parts (NUMA nodes), each near some cores only: times depend on where the "
        "kernel puts threads and data. `numactl --cpunodebind=0 --membind=0` keeps them together."
    )


def _held_back(variables: Mapping[str, str] | None = None) -> Iterator[str]:
    variables = os.environ if variables is None else variables
    for name, (what, harmless) in HOLDING_BACK.items():
        value = variables.get(name)
        if value and value.upper() not in harmless:
            yield f"{name} is set to {_shown(value)!r}: {what} does not do what it would do by itself."
