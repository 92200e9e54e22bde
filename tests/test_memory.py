"""What a worker says of its own memory, and how contradictions between sources are told."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import memory
from harness.measure.gpu import Nvml
from harness.measure.memory import Peaks, leak, peaks, truth
from harness.paths import ADAPTERS
from harness.spec.liveness import Floor

LOCATION = importlib.util.spec_from_file_location("kit_memory", ADAPTERS / "kit" / "memory.py")
kit = importlib.util.module_from_spec(LOCATION)
LOCATION.loader.exec_module(kit)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MB = 10**6


# The process itself --------------------------------------------------------------------------------------------------


@LINUX
def test_a_process_accounts_for_its_memory_by_source() -> None:
    kit.reset_peak()
    told = kit.account()
    assert told["status.VmRSS"] > 10**7
    parts = sum(told[f"status.{part}"] for part in ("RssAnon", "RssFile", "RssShmem"))
    assert parts == pytest.approx(told["status.VmRSS"], rel=0.05)
    assert told["smaps_rollup.Pss"] <= told["smaps_rollup.Rss"]
    assert all(isinstance(value, int) and value >= 0 for value in told.values())


@LINUX
def test_a_peak_is_of_its_own_phase() -> None:
    """In a process of its own, whose memory nobody else changes."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import memory\n"
        "big = bytearray(80_000_000); del big\n"
        "before = memory.peak_bytes()\n"
        "assert memory.reset_peak()\n"
        "small = bytearray(20_000_000); del small\n"
        "print(before, memory.account()['status.VmHWM'], memory.resident_bytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ADAPTERS / "kit")], capture_output=True, text=True, check=True
    )
    before, after, now = map(int, done.stdout.split())
    assert before > now + 70 * MB
    assert now + 15 * MB < after < before - 50 * MB


@LINUX
@pytest.mark.parametrize("kept", [True, False])
def test_a_step_that_keeps_memory_is_seen_over_windows(kept: bool) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import memory\n"
        "kept = []\n"
        "def step():\n    kept.append(bytearray(2_000_000))\n    del kept[: 0 if sys.argv[2] == 'True' else 1]\n"
        "print(*memory.windows(step, lambda: None, 8, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ADAPTERS / "kit"), str(kept)], capture_output=True, text=True, check=True
    )
    found = [int(word) for word in done.stdout.split()]
    assert len(found) == 8
    assert ("by 4.0" in leak(found)) == kept


def test_windows_are_not_made_up_where_no_peak_can_be_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "reset_peak", lambda: False)
    assert kit.windows(lambda: None, lambda: None, 8, 1) == []


def test_what_the_system_does_not_say_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "_sizes", lambda path: {})
    monkeypatch.setattr(kit, "_group", kit.ControlGroup("", 2))
    assert kit.account() == {} and kit.resident_bytes() is None


# Its control group ---------------------------------------------------------------------------------------------------

V1_MOUNT = "35 31 0:32 {part} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
V2_MOUNT = "41 31 0:38 {part} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw"


def tree(root: Path, membership: str, mount: str, folder: str, version: int, processes: str = "") -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership + "\n")
    (root / "proc/self/mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/vda rw\n" + mount + "\n")
    group = root / folder
    group.mkdir(parents=True)
    current, peak = kit._CGROUP_FILES[version]
    (group / current).write_text("1000\n")
    (group / peak).write_text("5000\n")
    (group / "cgroup.procs").write_text(processes or f"{os.getpid()}\n")
    return group


@pytest.mark.parametrize(
    ("membership", "mount", "folder", "version"),
    [
        ("0::/user.slice/a", V2_MOUNT.format(part="/"), "sys/fs/cgroup/user.slice/a", 2),
        ("0::/", V2_MOUNT.format(part="/"), "sys/fs/cgroup", 2),
        ("4:memory:/docker/a", V1_MOUNT.format(part="/docker/a"), "sys/fs/cgroup/memory", 1),
        ("5:cpu,memory:/a\n0::/", V1_MOUNT.format(part="/"), "sys/fs/cgroup/memory/a", 1),
    ],
)
def test_the_control_group_is_found_where_it_is_mounted(
    membership: str, mount: str, folder: str, version: int, tmp_path: Path
) -> None:
    expected = tree(tmp_path, membership, mount, folder, version)
    found = kit.find_group(str(tmp_path))
    assert (found.folder, found.version) == (str(expected), version)
    assert list(found.account().values()) == [1000, 1, 0]  # now, processes, others; no peak that was not started anew


def test_a_group_outside_the_mounted_part_is_out_of_sight(tmp_path: Path) -> None:
    tree(tmp_path, "0::/other", V2_MOUNT.format(part="/mine"), "sys/fs/cgroup", 2)
    found = kit.find_group(str(tmp_path))
    assert found.folder == "" and found.account() == {}
    found.reset()


def test_a_peak_that_could_be_started_anew_is_reported(tmp_path: Path) -> None:
    group = tree(tmp_path, "0::/", V2_MOUNT.format(part="/"), "sys/fs/cgroup", 2)
    found = kit.find_group(str(tmp_path))
    found.reset()
    (group / "memory.peak").write_text("2000\n")
    assert found.account()["cgroup2.memory.peak"] == 2000
    found.close()
    assert "cgroup2.memory.peak" not in found.account()


def test_a_peak_that_the_kernel_will_not_start_anew_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "0::/", V2_MOUNT.format(part="/"), "sys/fs/cgroup", 2)
    found = kit.find_group(str(tmp_path))

    def refuse(*arguments: Any) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "pwrite", refuse)
    found.reset()
    assert found.account() == {"cgroup2.memory.current": 1000, "cgroup.processes": 1, "cgroup.others": 0}


def test_the_one_peak_of_version_1_is_left_alone_where_others_share_the_group(tmp_path: Path) -> None:
    group = tree(tmp_path, "4:memory:/", V1_MOUNT.format(part="/"), "sys/fs/cgroup/memory", 1, f"{os.getpid()}\n0\n")
    found = kit.find_group(str(tmp_path))
    found.reset()
    told = found.account()
    assert (group / "memory.max_usage_in_bytes").read_text() == "5000\n"
    assert told == {"cgroup1.memory.usage_in_bytes": 1000, "cgroup.processes": 2, "cgroup.others": 1}


@LINUX
def test_descendants_are_no_others_and_groups_below_count(tmp_path: Path) -> None:
    group = tree(tmp_path, "0::/", V2_MOUNT.format(part="/"), "sys/fs/cgroup", 2)
    (group / "below").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (group / "below/cgroup.procs").write_text(f"{child.pid}\n{os.getppid()}\n")
        told = kit.find_group(str(tmp_path)).account()
        child.communicate(b"\n")
    assert (told["cgroup.processes"], told["cgroup.others"]) == (3, 1)


# Contradictions ------------------------------------------------------------------------------------------------------

FLOOR = Floor(200 * MB, 100 * MB, 10 * MB, 90 * MB, at="MatMul up")
SOUND = Peaks(
    resident_peak_bytes=900 * MB,
    before_bytes=500 * MB,
    resident_bytes=800 * MB,
    anonymous_bytes=600 * MB,
    swapped_bytes=0,
    cgroup_bytes=2000 * MB,
    allocator_bytes=150 * MB,
    allocator_peak_bytes=300 * MB,
)
ON_GPU = replace(SOUND, device="cuda", device_bytes=700 * MB)


@pytest.mark.parametrize(
    "figures", [SOUND, ON_GPU, Peaks(), Peaks(device="cuda"), replace(ON_GPU, before_bytes=899 * MB)]
)
def test_figures_that_agree_and_figures_that_are_absent_contradict_nothing(figures: Peaks) -> None:
    assert truth(FLOOR, figures) == []


@pytest.mark.parametrize(
    ("figures", "changes", "words"),
    [
        (
            SOUND,
            {"resident_peak_bytes": 150 * MB, "allocator_peak_bytes": None},
            ["150 MB", "VmHWM", "200 MB", "MatMul"],
        ),
        (SOUND, {"before_bytes": 850 * MB}, ["grew by 50 MB", "850 MB", "200 MB", "floor"]),
        (SOUND, {"allocator_peak_bytes": 950 * MB}, ["allocator", "950 MB", "900 MB", "VmHWM"]),
        (SOUND, {"allocator_peak_bytes": 60 * MB, "allocator_bytes": 60 * MB}, ["60 MB", "weights alone", "100 MB"]),
        (SOUND, {"allocator_peak_bytes": 160 * MB}, ["160 MB", "200 MB", "MatMul up"]),
        (SOUND, {"allocator_bytes": 301 * MB}, ["301 MB now", "300 MB"]),
        (SOUND, {"cgroup_bytes": 500 * MB}, ["control group", "500 MB", "600 MB", "RssAnon"]),
        (SOUND, {"swapped_bytes": 5 * MB, "resident_peak_bytes": 100 * MB}, ["5.00 MB", "swap"]),
        (ON_GPU, {"device_bytes": 150 * MB, "allocator_peak_bytes": None}, ["150 MB", "NVML", "200 MB"]),
        (ON_GPU, {"device_bytes": 250 * MB}, ["300 MB", "NVML", "250 MB"]),
        (SOUND, {"windows": tuple(range(100 * MB, 180 * MB, 10 * MB))}, ["windows", "140 MB", "170 MB", "10 MB"]),
    ],
)
def test_a_contradiction_is_told_with_both_numbers_and_sources(
    figures: Peaks, changes: dict[str, Any], words: list[str]
) -> None:
    findings = truth(FLOOR, replace(figures, **changes))
    assert len(findings) == 1, findings
    assert all(word in findings[0] for word in words), findings[0]


@given(st.lists(st.integers(0, 10**9), max_size=20))
def test_memory_that_does_not_keep_growing_is_no_leak(windows: list[int]) -> None:
    later = windows[len(windows) // 2 :]
    if len(windows) < memory.MINIMUM_WINDOWS or later != sorted(set(later)):
        assert leak(windows) == ""
    assert leak([*windows, *windows[-1:]]) == ""


def test_growth_within_the_kernels_batches_is_no_leak() -> None:
    assert leak([10**8 + number for number in range(10)]) == ""
    assert leak([10**8 + number * memory.PAGE_SLACK for number in range(10)]) != ""
    assert leak([10**8 + number * memory.PAGE_SLACK for number in range(7)]) == ""


def test_one_buffer_more_is_no_leak() -> None:
    assert leak([10**8 + number + (10**8 if number > 6 else 0) for number in range(10)]) == ""


def test_reports_are_sorted_by_what_they_mean() -> None:
    account = {"status.VmHWM": 5, "status.VmRSS": 4, "smaps_rollup.Rss": 6, "status.RssAnon": 3, "status.VmSwap": 0}
    grouped = {**account, "cgroup2.memory.current": 9, "cgroup2.memory.peak": 10, "cgroup.others": 2}
    found = peaks("cpu", grouped, {"peak_bytes": 2, "allocated_bytes": 1}, {"status.VmRSS": 1}, windows=[1, 2])
    assert found == Peaks("cpu", 6, 1, 6, 3, 0, 9, 10, 2, 1, 2, None, (1, 2))
    older = peaks("cpu", {"cgroup1.memory.usage_in_bytes": 9, "cgroup1.memory.max_usage_in_bytes": 10})
    assert (older.cgroup_bytes, older.cgroup_peak_bytes, older.resident_peak_bytes) == (9, 10, None)


def test_the_table_leaves_out_what_nobody_says() -> None:
    rows = memory.table(FLOOR, replace(SOUND, cgroup_others=3))
    assert [row["source"] for row in rows] == [
        "floor", "resident peak", "resident before", "heaps", "allocator peak", "control group"
    ]  # fmt: skip
    assert "3 other processes" in str(rows[-1]["means"])
    assert [row["source"] for row in memory.table(FLOOR, Peaks())] == ["floor"]


# NVML ----------------------------------------------------------------------------------------------------------------


class FakeError(Exception):
    pass


class FakeNvml:
    """Two GPUs; what a method name is set to in `failing` is raised."""

    NVMLError = FakeError

    def __init__(self, *processes: tuple[int, int | None], failing: str = ""):
        self.processes, self.failing, self.ended = processes, failing, 0

    def _fail(self, name: str) -> None:
        if name == self.failing:
            raise FakeError("Not Supported")

    def nvmlInit(self) -> None:
        self._fail("nvmlInit")

    def nvmlShutdown(self) -> None:
        self.ended += 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        self._fail("nvmlDeviceGetComputeRunningProcesses")
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.processes]


@pytest.fixture
def every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_processs_memory_is_that_on_all_gpus(every_gpu: None) -> None:
    library = FakeNvml((7, 100), (8, 1))
    with Nvml(library) as nvml:
        assert nvml.process_bytes(7) == (200, "")
    assert library.ended == 1


def test_hidden_gpus_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert Nvml(FakeNvml((7, 100))).process_bytes(7) == (100, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert Nvml(FakeNvml((7, 100))).process_bytes(7) == (None, "NVML finds no GPU that may be used")


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        (FakeNvml((8, 100)), "process 7 is not among the 2 that NVML lists"),
        (FakeNvml((7, None)), "not how much memory"),
        (FakeNvml((7, 1), failing="nvmlInit"), "NVML says 'not supported'"),
        (FakeNvml((7, 1), failing="nvmlDeviceGetComputeRunningProcesses"), "NVML says 'not supported'"),
    ],
)
def test_what_nvml_cannot_tell_is_absent_with_the_reason(library: FakeNvml, reason: str, every_gpu: None) -> None:
    size, why = Nvml(library).process_bytes(7)
    assert size is None and reason in why


def test_a_machine_without_a_gpu_says_so() -> None:
    nvml = Nvml()
    size, why = nvml.process_bytes(os.getpid())
    assert size is None and why
