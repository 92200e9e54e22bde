"""What the system says of this process's memory: its peak, how to start a new peak, and whose memory it is.

Nothing is guessed: what the system does not say is left out.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

#: The files of a control group, by version: what it holds now, and the most that it held.
_CGROUP_FILES = {
    1: ("memory.usage_in_bytes", "memory.max_usage_in_bytes"),
    2: ("memory.current", "memory.peak"),
}


def reset_peak() -> bool:
    """Forget the peaks so far: of this process, and of its control group where that is possible and harms nobody.

    False where the system cannot forget the process's (only Linux can, by /proc/self/clear_refs).
    """
    _open_group().reset()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _sizes(path: str) -> Dict[str, int]:
    """The sizes that a file of /proc gives in kB, in bytes; nothing where it cannot be read."""
    sizes = {}
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(":")
                if value.endswith("kB\n"):
                    sizes[key] = int(value.split()[0]) * 1024
    except OSError:
        pass
    return sizes


def peak_bytes() -> int:
    """Highest resident size since `reset_peak`, or since the process began where that cannot be reset."""
    sizes = _sizes("/proc/self/status")
    if "VmHWM" in sizes:
        # The kernel brings its counters up to date in batches: the peak can lag behind the size by some pages.
        return max(sizes["VmHWM"], sizes.get("VmRSS", 0))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def windows(step: Callable[[], Any], finish: Callable[[], Any], count: int, steps: int) -> List[int]:
    """The resident peak of each of `count` windows of `steps` steps, to see whether memory grows.

    finish: waits for the device, once a window. Empty where the system cannot start a new peak.
    """
    peaks = []
    for _ in range(count):
        if not reset_peak():
            return []
        for _ in range(steps):
            step()
        finish()
        peaks.append(peak_bytes())
    return peaks


def resident_bytes() -> Optional[int]:
    """Resident size now; None where the system does not say."""
    return _sizes("/proc/self/status").get("VmRSS")


def account() -> Dict[str, int]:
    """All that the system says of this process's memory now. Bytes, by where they come from; absent where it is silent.

    From /proc/self/status, which the kernel counts in batches of pages: "status.VmRSS" (resident now), "status.VmHWM"
    (its peak since `reset_peak`), "status.RssAnon", "status.RssFile" and "status.RssShmem" (its parts: heaps and
    stacks, mapped files such as libraries and weights, shared memory), "status.VmSwap" (in swap, so not resident).
    From /proc/self/smaps_rollup, which walks the pages: "smaps_rollup.Rss", and "smaps_rollup.Pss" (pages that n
    processes share count an nth).
    Of the memory control group that the process is in, "cgroup2." or "cgroup1.": the names of its files,
    "memory.current" or "memory.usage_in_bytes" (now), and "memory.peak" or "memory.max_usage_in_bytes" only if
    `reset_peak` could start it anew. They count what was first touched by its processes, page cache of files included.
    Two numbers of processes in it, no bytes: "cgroup.processes", and "cgroup.others", those that are neither this
    process nor its descendants. Where there are others, the group's figures are theirs too.
    """
    status, rollup = _sizes("/proc/self/status"), _sizes("/proc/self/smaps_rollup")
    told = {}
    for key in ("VmRSS", "VmHWM", "RssAnon", "RssFile", "RssShmem", "VmSwap"):
        if key in status:
            told["status." + key] = status[key]
    for key in ("Rss", "Pss"):
        if key in rollup:
            told["smaps_rollup." + key] = rollup[key]
    told.update(_open_group().account())
    return told


class ControlGroup:
    """The memory control group of a process. folder: "" where there is none, or its files are out of sight.

    Version 2 keeps a peak for each open file that was written to (Linux 6.12 and newer), so resetting disturbs nobody.
    Version 1 has one peak for all readers; it is reset only where no other process is in the group.
    """

    def __init__(self, folder: str, version: int):
        self.folder, self.version = folder, version
        self._peak = None  # type: Optional[int]

    def reset(self) -> None:
        """Start a new peak, if the kernel can."""
        if not self.folder:
            return
        if self.version == 1 and self._others(self._processes()):
            self.close()
            return
        try:
            if self._peak is None:
                self._peak = os.open(os.path.join(self.folder, _CGROUP_FILES[self.version][1]), os.O_RDWR)
            os.pwrite(self._peak, b"0\n", 0)
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of the peak."""
        if self._peak is not None:
            os.close(self._peak)
            self._peak = None

    def account(self) -> Dict[str, int]:
        """See the module's `account`."""
        told = {}  # type: Dict[str, int]
        current, peak = _CGROUP_FILES[self.version]
        prefix = "cgroup{}.".format(self.version)
        try:
            with open(os.path.join(self.folder, current)) as file:
                told[prefix + current] = int(file.read())
            if self._peak is not None:
                told[prefix + peak] = int(os.pread(self._peak, 64, 0))
        except (OSError, ValueError):
            pass
        if told:
            processes = self._processes()
            told["cgroup.processes"] = len(processes)
            told["cgroup.others"] = len(self._others(processes))
        return told

    def _processes(self) -> List[int]:
        """Every process of the group and of the groups below it; 0 for one in another namespace."""
        found = []
        for folder, _, files in os.walk(self.folder):
            if "cgroup.procs" in files:
                try:
                    with open(os.path.join(folder, "cgroup.procs")) as file:
                        found += [int(line) for line in file]
                except OSError:  # a threaded group, or one that has just ended
                    pass
        return found

    @staticmethod
    def _others(processes: List[int]) -> List[int]:
        return [process for process in processes if not _descends(process, os.getpid())]


def _descends(process: int, ancestor: int) -> bool:
    """Whether a process is another one or below it."""
    while process not in (0, 1, ancestor):
        process = _parent(process)
    return process == ancestor


def _parent(process: int) -> int:
    """The parent of a process; 0 where it has none that can be seen."""
    try:
        with open("/proc/{}/stat".format(process)) as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def find_group(root: str = "/") -> ControlGroup:
    """The memory control group of this process. root: where proc/ and, below it, every mount point is looked for.

    /proc/self/cgroup tells the group's path in its hierarchy, /proc/self/mountinfo which part of which hierarchy is
    mounted where (man pages cgroups(7) and proc_pid_mountinfo(5)).
    """
    paths = dict(_memberships(_lines(root, "proc/self/cgroup")))
    for version, part, mount in _mounts(_lines(root, "proc/self/mountinfo")):
        if version in paths:
            below = os.path.relpath(paths[version], part)
            folder = os.path.normpath(os.path.join(root, mount.lstrip("/"), below))
            if not below.startswith("..") and os.path.isfile(os.path.join(folder, _CGROUP_FILES[version][0])):
                return ControlGroup(folder, version)
    return ControlGroup("", 2)


def _memberships(lines: List[str]) -> List[Tuple[int, str]]:
    """(version, path) of the hierarchies that may count memory."""
    found = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found.append((1, path))
        elif number == "0" and not controllers:
            found.append((2, path))
    return found


def _mounts(lines: List[str]) -> List[Tuple[int, str, str]]:
    """(version, part that is mounted, mount point) of those hierarchies."""
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[0] == "cgroup2":
            found.append((2, fields[3], fields[4]))
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            found.append((1, fields[3], fields[4]))
    return found


def _lines(root: str, path: str) -> List[str]:
    try:
        with open(os.path.join(root, path)) as file:
            return file.read().splitlines()
    except OSError:
        return []


_group = None  # type: Optional[ControlGroup]


def _open_group() -> ControlGroup:
    """This process's group, looked for once."""
    global _group
    if _group is None:
        _group = find_group()
    return _group
