"""The worker's clock, and what it can tell of what really ran."""

from __future__ import annotations

import importlib
import threading
import time

import pytest

from harness import kit

timing = importlib.import_module(f"{kit.wire.__package__}.timing")
ran = importlib.import_module(f"{kit.wire.__package__}.ran")


class Device:
    """Works on a thread of its own, for some milliseconds a step. honest: whether it waits when it is asked to."""

    def __init__(self, honest: bool, seconds: float = 0.002):
        self.honest, self.seconds = honest, seconds
        self.work: list[threading.Thread] = []

    def step(self) -> threading.Thread:
        thread = threading.Thread(target=time.sleep, args=(self.seconds,))
        thread.start()
        self.work.append(thread)
        return thread

    def synchronize(self) -> None:
        if self.honest:
            self.finish()

    def finish(self) -> None:
        for thread in self.work:
            thread.join()
        self.work.clear()


def test_work_that_goes_on_after_synchronize_is_seen() -> None:
    device = Device(honest=False, seconds=0.02)
    found = timing.late_work(device.step, device.synchronize, threading.Thread.join, repetitions=1, trials=2)
    assert found["late_ns"] > 10_000_000 > found["steps_ns"]


def test_a_device_that_waits_leaves_nothing_behind() -> None:
    device = Device(honest=True)
    found = timing.late_work(device.step, device.synchronize, threading.Thread.join, repetitions=1, trials=3)
    assert found["late_ns"] < 1_000_000 and found["steps_ns"] >= 2_000_000


def test_a_step_is_timed_from_an_idle_to_an_idle_device() -> None:
    device = Device(honest=True, seconds=0.005)
    assert timing.time_steps(device.step, device.synchronize, 1) >= 5_000_000


@pytest.mark.parametrize("count", [1, 3])
def test_threads_that_have_a_part_in_the_work_are_counted(count: int) -> None:
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=burn) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        facts = ran.facts(lambda: time.sleep(0.01), lambda: None, seconds=0.3)
    finally:
        stop.set()
    assert count <= facts["working_threads"] <= count + 1


def test_libraries_are_found_in_the_process_s_own_maps() -> None:
    facts = ran.facts(lambda: None, lambda: None, seconds=0.0)
    assert any("openblas" in entry.lower() or "mkl" in entry.lower() for entry in map(str, facts["libraries"].values()))
    assert facts["pools"] and all(count >= 1 for count in facts["pools"].values())


def test_no_path_of_the_machine_is_told(monkeypatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/home/someone/lib/libthing.so")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/home/someone/.rc")
    variables = ran._variables()
    assert variables["LD_PRELOAD"] == "libthing.so" and "TF_CLI_CONFIG_FILE" not in variables
