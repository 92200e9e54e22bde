"""The peak of this process's resident memory, and how to start a new peak."""

from __future__ import annotations

import resource
import sys
from typing import Dict, Optional


def reset_peak() -> bool:
    """Forget the peak so far. False where the system cannot (only Linux can, by /proc/self/clear_refs)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _status() -> Dict[str, int]:
    """Sizes of /proc/self/status in bytes."""
    sizes = {}
    try:
        with open("/proc/self/status") as file:
            for line in file:
                key, _, value = line.partition(":")
                if value.endswith("kB\n"):
                    sizes[key] = int(value.split()[0]) * 1024
    except OSError:
        pass
    return sizes


def peak_bytes() -> int:
    """Highest resident size since `reset_peak`, or since the process began where that cannot be reset."""
    sizes = _status()
    if "VmHWM" in sizes:
        # The kernel brings its counters up to date in batches: the peak can lag behind the size by some pages.
        return max(sizes["VmHWM"], sizes.get("VmRSS", 0))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> Optional[int]:
    """Resident size now; None where the system does not say."""
    return _status().get("VmRSS")
