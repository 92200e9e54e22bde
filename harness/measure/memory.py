"""Memory as a truth table: each source's figure beside the floor, and where two of them cannot both be true.

No figure is an average of several: they count different things. Contradictions are told in sentences for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.spec.liveness import Floor

#: The kernel counts resident pages in batches, one for each CPU.
PAGE_SLACK = 2**20

#: What a process may have free in its heap before a model is loaded, so that its growth may be so much too small.
HEAP_SLACK = 16 * 2**20

#: A leak is looked for in at least so many windows, in the later half of them.
MINIMUM_WINDOWS = 8


@dataclass(frozen=True)
class Peaks:
    """What was measured of one worker, in bytes; None where nobody says.

    resident_peak_bytes: of its resident set, since the peak was reset. before_bytes: its resident set before the model
    was loaded, if the process had held none until then. resident_bytes, anonymous_bytes, swapped_bytes: when the steps
    were done; of those, what is no file's; in swap. cgroup_bytes: its control group's, at the same time.
    cgroup_peak_bytes: its peak since the reset. cgroup_others: processes in it that are not the worker's.
    allocator_bytes, allocator_peak_bytes: what the framework's own allocator says. device_bytes: the process's on the
    GPUs, by NVML. windows: the resident peaks of windows of equally many steps, in their order.
    """

    device: str = "cpu"
    resident_peak_bytes: int | None = None
    before_bytes: int | None = None
    resident_bytes: int | None = None
    anonymous_bytes: int | None = None
    swapped_bytes: int | None = None
    cgroup_bytes: int | None = None
    cgroup_peak_bytes: int | None = None
    cgroup_others: int | None = None
    allocator_bytes: int | None = None
    allocator_peak_bytes: int | None = None
    device_bytes: int | None = None
    windows: tuple[int, ...] = ()


def peaks(
    device: str,
    account: Mapping[str, int],
    allocator: Mapping[str, int] | None = None,
    before: Mapping[str, int] | None = None,
    device_bytes: int | None = None,
    windows: Sequence[int] = (),
) -> Peaks:
    """Sort what was reported.

    account: `kit.memory.account()` after the steps; before: the same in a fresh process before it loaded the model.
    allocator: `Network.memory()`. device_bytes: `gpu.Nvml.process_bytes`.
    """
    resident = account.get("smaps_rollup.Rss", account.get("status.VmRSS"))
    version = "cgroup2.memory" if "cgroup2.memory.current" in account else "cgroup1.memory"
    return Peaks(
        device=device,
        resident_peak_bytes=_highest(account.get("status.VmHWM"), resident),
        before_bytes=None if before is None else before.get("smaps_rollup.Rss", before.get("status.VmRSS")),
        resident_bytes=resident,
        anonymous_bytes=account.get("status.RssAnon"),
        swapped_bytes=account.get("status.VmSwap"),
        cgroup_bytes=account.get(f"{version}.current", account.get(f"{version}.usage_in_bytes")),
        cgroup_peak_bytes=account.get(f"{version}.peak", account.get(f"{version}.max_usage_in_bytes")),
        cgroup_others=account.get("cgroup.others"),
        allocator_bytes=(allocator or {}).get("allocated_bytes"),
        allocator_peak_bytes=(allocator or {}).get("peak_bytes"),
        device_bytes=device_bytes,
        windows=tuple(windows),
    )


def _highest(peak: int | None, now: int | None) -> int | None:
    """A peak that lags behind what is there now is what is there now; without a peak nothing is said."""
    return peak if peak is None or now is None else max(peak, now)


def truth(floor: Floor, peaks: Peaks) -> list[str]:
    """What of this cannot all be true, or cannot be trusted; empty where nothing speaks against it."""
    findings = [
        *(_of_host(floor, peaks) if peaks.device == "cpu" else _of_device(floor, peaks)),
        _of_allocator(floor, peaks),
        _of_group(peaks),
        leak(peaks.windows),
    ]
    return [finding for finding in findings if finding]


def _of_host(floor: Floor, peaks: Peaks) -> list[str]:
    """On a CPU all that the floor counts must be resident, unless it was swapped out."""
    if peaks.swapped_bytes:
        swapped = megabytes(peaks.swapped_bytes)
        return [f"{swapped} of the process lay in swap (VmSwap), so its resident set says too little."]
    findings = []
    resident, before = peaks.resident_peak_bytes, peaks.before_bytes
    if resident is not None and resident < floor.total_bytes:
        findings.append(f"The resident set never held more than {megabytes(resident)} (VmHWM), but {_needs(floor)}")
    elif resident is not None and before is not None and resident - before < floor.total_bytes - HEAP_SLACK:
        grown = max(0, resident - before)
        findings.append(
            f"The resident set grew by {megabytes(grown)} from {megabytes(before)} before the model was loaded (VmHWM, "
            f"Rss), but {_needs(floor)}"
        )
    allocated = peaks.allocator_peak_bytes
    if resident is not None and allocated is not None and allocated > resident + PAGE_SLACK:
        findings.append(
            f"The framework's allocator says that it held {megabytes(allocated)}, but the resident set never held more "
            f"than {megabytes(resident)} (VmHWM): some of it was never touched, or the allocator counts wrongly."
        )
    return findings


def _of_device(floor: Floor, peaks: Peaks) -> list[str]:
    device, allocated = peaks.device_bytes, peaks.allocator_peak_bytes
    if device is None:
        return []
    if device < floor.total_bytes:
        return [f"The process holds {megabytes(device)} on the GPU (NVML), but {_needs(floor)}"]
    if allocated is not None and device < allocated:
        return [
            f"The framework's allocator says that it held {megabytes(allocated)}, but NVML finds only "
            f"{megabytes(device)} of this process on the GPU: it gave memory back before NVML was asked, or one of "
            "them counts wrongly."
        ]
    return []


def _of_allocator(floor: Floor, peaks: Peaks) -> str:
    allocated, current = peaks.allocator_peak_bytes, peaks.allocator_bytes
    if allocated is None:
        return ""
    if current is not None and current > allocated:
        return (
            f"The framework's allocator says that it holds {megabytes(current)} now and never held more than "
            f"{megabytes(allocated)}."
        )
    if allocated < floor.weight_bytes:
        return (
            f"The framework's allocator says that it never held more than {megabytes(allocated)}, but the weights "
            f"alone take {megabytes(floor.weight_bytes)} (floor): it does not count them, or counts wrongly."
        )
    if allocated < floor.total_bytes:
        return (
            f"The framework's allocator says that it never held more than {megabytes(allocated)}, but {_needs(floor)}"
        )
    return ""


def _of_group(peaks: Peaks) -> str:
    """A control group counts what its processes touched first; of files that may have been others, of heaps never."""
    group, heap = peaks.cgroup_bytes, peaks.anonymous_bytes
    if group is None or heap is None or group + PAGE_SLACK >= heap:
        return ""
    return (
        f"The control group holds {megabytes(group)}, but this process alone has {megabytes(heap)} in its heaps "
        "(RssAnon): it was moved into the group after it had taken them, or one of them counts wrongly."
    )


def leak(windows: Sequence[int]) -> str:
    """A sentence if memory grows in every window of the later half, and by more than the kernel's batches there, its
    largest step left aside: one buffer more is no leak.

    windows: peaks, or sizes, of windows of equally many steps, at least `MINIMUM_WINDOWS`; else nothing is said.
    """
    later = windows[len(windows) // 2 :]
    rises = [second - first for first, second in pairwise(later)]
    if len(windows) < MINIMUM_WINDOWS or min(rises) <= 0 or sum(rises) - max(rises) <= PAGE_SLACK:
        return ""
    each = sum(rises) / len(rises)
    return (
        f"The resident peak grew in each of the last {len(later)} windows, from {megabytes(later[0])} to "
        f"{megabytes(later[-1])}, by {megabytes(each)} a window: memory leaks, or was not at rest yet."
    )


def table(floor: Floor, peaks: Peaks) -> list[dict[str, str | int]]:
    """The figures side by side, for people: {"source", "bytes", "means"}; what nobody says is left out."""
    shared = f", shared with {peaks.cgroup_others} other processes" if peaks.cgroup_others else ""
    rows = [
        ("floor", floor.total_bytes, f"must exist at one moment ({floor.at or 'at rest'})"),
        ("resident peak", peaks.resident_peak_bytes, "of the process, since the reset (VmHWM)"),
        ("resident before", peaks.before_bytes, "of the process, before the model was loaded (Rss)"),
        ("heaps", peaks.anonymous_bytes, "of the process, after the steps (RssAnon)"),
        ("allocator peak", peaks.allocator_peak_bytes, "what the framework's own allocator says"),
        ("control group", peaks.cgroup_bytes, f"after the steps{shared}"),
        ("control group peak", peaks.cgroup_peak_bytes, f"since the reset{shared}"),
        ("device", peaks.device_bytes, "of the process on the GPUs, after the steps (NVML)"),
    ]
    return [{"source": name, "bytes": value, "means": means} for name, value, means in rows if value is not None]


def _needs(floor: Floor) -> str:
    return (
        f"the Program needs {megabytes(floor.total_bytes)} at one moment (floor, at {floor.at or 'rest'}): memory was "
        "not counted, or the framework split the batch or computed parts of it again."
    )


def megabytes(count: float) -> str:
    """Bytes in MB of 10**6, with two digits after the point below 10."""
    return f"{count / 1e6:,.{2 if abs(count) < 1e7 else 0}f} MB"
