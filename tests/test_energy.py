"""Counters of energy in a made-up /sys, and of a made-up GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.energy import Meter
from harness.measure.gpu import Nvml

RANGE = 262_143_328_850  # what Intel's processors have, in microjoules


def zone(root: Path, folder: str, name: str, microjoules: int | str = 0, limit: int | str = RANGE) -> Path:
    path = root / "sys/class/powercap" / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    return path / "energy_uj"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two processors, each with cores and memory, a board, and the same first processor by another way."""
    zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 4_000_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 1_500_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 6_000_000)
    zone(tmp_path, "intel-rapl:1:0", "dram", 2_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 20_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    return tmp_path


def test_packages_memory_and_board_are_read_apart_and_nothing_twice(server: Path) -> None:
    meter = Meter(server)
    joules = {"package-0": 5.0, "package-1": 6.0, "dram-0": 1.5, "dram-1": 2.0, "psys": 20.0}
    assert meter.read() == joules
    assert meter.available() == dict.fromkeys(joules, "")


def test_a_machine_without_counters_has_no_energy_and_a_reason(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.read() == {}
    assert list(meter.available()) == ["rapl"] and "no RAPL" in meter.available()["rapl"]


def test_a_counter_for_root_only_is_absent_with_the_reason(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_text

    def guarded(path: Path, *arguments: Any, **keywords: Any) -> str:
        if path.name == "energy_uj" and path.parent.name == "intel-rapl:0":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "read_text", guarded)
    meter = Meter(server)
    assert "package-0" not in meter.read() and meter.read()["dram-0"] == 1.5
    assert "root" in meter.available()["package-0"] and meter.available()["package-1"] == ""


@pytest.mark.parametrize("broken", ["", "many"])
def test_a_counter_that_is_no_number_is_absent_with_the_reason(broken: str, tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", broken)
    zone(tmp_path, "intel-rapl:1", "package-1", 1, limit=broken)
    meter = Meter(tmp_path)
    assert meter.read() == {}
    assert set(meter.available()) == {"package-0", "package-1"} and all(meter.available().values())


@given(st.integers(0, RANGE - 1), st.integers(0, RANGE - 1))
def test_a_difference_is_right_across_one_wrap(tmp_path_factory: Any, start: int, used: int) -> None:
    root = tmp_path_factory.mktemp("sys")
    file = zone(root, "intel-rapl:0", "package-0", start)
    meter = Meter(root)
    before = meter.read()
    file.write_text(f"{(start + used) % RANGE}\n")
    assert meter.difference(before, meter.read())["package-0"] == pytest.approx(used / 1e6, abs=1e-4)


def test_a_source_that_was_lost_between_two_readings_is_left_out(server: Path) -> None:
    meter = Meter(server)
    before = meter.read()
    (server / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    used = meter.difference(before, meter.read())
    assert "package-0" not in used and used["package-1"] == 0.0  # read, and really nothing used


# GPUs ----------------------------------------------------------------------------------------------------------------


class FakeError(Exception):
    pass


class FakeNvml:
    """GPU 0 counts its energy in mJ, GPU 1 is too old to."""

    NVMLError = FakeError

    def __init__(self, millijoules: int = 0, present: bool = True):
        self.millijoules, self.present = millijoules, present

    def nvmlInit(self) -> None:
        if not self.present:
            raise FakeError("NVML Shared Library Not Found")

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if handle == 1:
            raise FakeError("Not Supported")
        return self.millijoules


@pytest.fixture
def every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_gpu_is_read_beside_the_processors_and_one_that_cannot_count_says_why(server: Path, every_gpu: None) -> None:
    library = FakeNvml(3_000)
    meter = Meter(server, Nvml(library))
    before = meter.read()
    assert before["gpu-0"] == 3.0 and "gpu-1" not in before and before["package-0"] == 5.0
    available = meter.available()
    assert available["gpu-0"] == "" and available["gpu-1"] == "NVML says 'not supported'"
    library.millijoules = 4_500
    assert meter.difference(before, meter.read())["gpu-0"] == 1.5


def test_a_gpu_whose_driver_was_loaded_anew_is_left_out(tmp_path: Path, every_gpu: None) -> None:
    library = FakeNvml(3_000)
    meter = Meter(tmp_path, Nvml(library))
    before = meter.read()
    library.millijoules = 10
    assert meter.difference(before, meter.read()) == {}


def test_without_nvml_the_reason_is_told(tmp_path: Path) -> None:
    available = Meter(tmp_path, Nvml(FakeNvml(present=False))).available()
    assert available["nvml"] == "NVML says 'nvml shared library not found'"
