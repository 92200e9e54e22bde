"""Energy from the machine's own counters: RAPL for processors and memory, NVML for GPUs. Absent is absent, never zero.

A counter counts everything that its part of the machine does, idling and other processes included, and not only what is
measured. Intel's and AMD's processors count themselves (RAPL; Intel, Software Developer's Manual, volume 3, "Platform
Specific Power Management Support"), Linux shows it under /sys/class/powercap (its documentation, power/powercap), since
2020 to root only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.measure.gpu import Nvml

_ROOT = Path("/")


@dataclass(frozen=True)
class _Zone:
    """range_joules: where the counter begins anew."""

    file: Path
    range_joules: float


class Meter:
    """Counters of energy, by source: "package-0" (a processor with its cores), "dram-0" (the memory at it), "psys" (the
    whole board, processors included), "gpu-0".

    root: where sys/ is looked for. nvml: NVML held open, or None to do without GPUs.
    """

    def __init__(self, root: Path = _ROOT, nvml: Nvml | None = None):
        self._zones, self._reasons = _zones(root / "sys/class/powercap")
        self._nvml = nvml

    def available(self) -> dict[str, str]:
        """For each source "", or why it cannot be read; "rapl" and "nvml" where there are no sources of theirs."""
        told = dict(self._reasons)
        for source, zone in self._zones.items():
            told[source] = _read(zone.file)[1]
        if self._nvml is None:
            return told
        if self._nvml.problem:
            return {**told, "nvml": self._nvml.problem}
        energy = self._nvml.energy()
        return {**told, **{source: value if isinstance(value, str) else "" for source, value in energy.items()}}

    def read(self) -> dict[str, float]:
        """What each counter that can be read stands at, in joules. Only differences mean something."""
        joules = {}
        for source, zone in self._zones.items():
            microjoules, _ = _read(zone.file)
            if microjoules is not None:
                joules[source] = microjoules / 1e6
        for source, value in (self._nvml.energy() if self._nvml else {}).items():
            if not isinstance(value, str):
                joules[source] = value / 1e3
        return joules

    def difference(self, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
        """Joules between two readings, of every source that is in both.

        A RAPL counter that stands lower began anew once; that it did so more often cannot be seen, so readings must be
        closer than it takes to fill one (at 100 W and the usual 2**32 units of 61 microjoules: 43 minutes). A GPU's
        counter that stands lower was reset with its driver, and is left out.
        """
        used = {}
        for source in (source for source in after if source in before):
            joules = after[source] - before[source]
            if joules < 0 and source in self._zones:
                joules += self._zones[source].range_joules
            if joules >= 0:
                used[source] = joules
        return used


def _zones(folder: Path) -> tuple[dict[str, _Zone], dict[str, str]]:
    """The counters by source, and why others are absent. Parts of a package (cores, graphics) are in it already."""
    zones: dict[str, _Zone] = {}
    reasons: dict[str, str] = {}
    for zone in sorted(folder.glob("intel-rapl:*")):
        source = _source(zone)
        if source is None:
            continue
        limit, reason = _read(zone / "max_energy_range_uj")
        if limit is None:
            reasons[source] = reason
        else:
            zones[source] = _Zone(zone / "energy_uj", limit / 1e6)
    if not zones and not reasons:
        reasons["rapl"] = "the system shows no RAPL counters (a virtual machine, or a processor without them)"
    return zones, reasons


def _source(zone: Path) -> str | None:
    """The name of a counter; None for one that another contains. `dram` is told apart by its package."""
    name = _text(zone / "name")[0]
    if re.fullmatch(r"package-\d+(-die-\d+)?|psys", name):
        return name
    if name == "dram":
        package = _text(zone.parent / zone.name.rpartition(":")[0] / "name")[0]
        return package.replace("package", "dram", 1) if package.startswith("package-") else None
    return None


def _read(file: Path) -> tuple[int | None, str]:
    """A number and "", or None and why there is none."""
    text, reason = _text(file)
    if reason:
        return None, reason
    return (int(text), "") if text.isdecimal() else (None, f"{file.name} holds {text!r}, no number")


def _text(file: Path) -> tuple[str, str]:
    try:
        return file.read_text().strip(), ""
    except PermissionError:
        return "", f"{file.name} may only be read by root (chmod a+r {file})"
    except OSError as error:
        return "", f"{file.name} cannot be read: {error.strerror or error}"
