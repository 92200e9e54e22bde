"""The timing loop: the only place in which a clock is read around a framework's work.

A sample is one timed interval of `repetitions` steps, with the device synchronized at both ends. What a sample
waited for a CPU is taken from the scheduler, outside the interval, so that disturbed samples can be told apart.
"""

from __future__ import annotations

import gc
import glob
import resource
import time
from typing import Callable, Dict

Step = Callable[[], object]

#: No turn takes more samples than this, however short they are.
MOST_SAMPLES = 1000


def waited_ns() -> int:
    """Nanoseconds that this process's threads have been ready to run and waited for a CPU (Linux schedstat)."""
    total = 0
    for path in glob.glob("/proc/self/task/*/schedstat"):
        try:
            with open(path) as file:
                total += int(file.read().split()[1])
        except (OSError, IndexError, ValueError):  # a thread that has just ended
            continue
    return total


def involuntary_switches() -> int:
    """How often this process's threads were taken off a CPU against their will."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def time_steps(step: Step, synchronize: Callable[[], None], repetitions: int) -> int:
    """Nanoseconds that `repetitions` steps take, from an idle device to an idle device."""
    synchronize()
    start = time.perf_counter_ns()
    for _ in range(repetitions):
        step()
    synchronize()
    return time.perf_counter_ns() - start


def warm_up(step: Step, synchronize: Callable[[], None], budget_ns: int, sample_ns: int) -> Dict[str, object]:
    """Run steps until `budget_ns` is spent, at least three. Returns their times and the repetitions that make a
    sample last at least `sample_ns`."""
    times = []  # type: List[int]
    deadline = time.perf_counter_ns() + budget_ns
    while len(times) < 3 or (time.perf_counter_ns() < deadline and len(times) < MOST_SAMPLES):
        times.append(time_steps(step, synchronize, 1))
    late = sorted(times[len(times) // 2 :])
    typical = max(1, late[len(late) // 2])
    return {"ns": times, "repetitions": max(1, -(-sample_ns // typical))}


def take_turn(step: Step, synchronize: Callable[[], None], repetitions: int, budget_ns: int) -> Dict[str, object]:
    """Take samples until `budget_ns` is spent, at least one.

    Returns, per sample, nanoseconds per step, and per sample the waited nanoseconds and involuntary switches of all
    threads over the whole sample.
    """
    ns, waited, switches = [], [], []  # type: List[float], List[int], List[int]
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        deadline = time.perf_counter_ns() + budget_ns
        while not ns or (time.perf_counter_ns() < deadline and len(ns) < MOST_SAMPLES):
            waited_before, switches_before = waited_ns(), involuntary_switches()
            ns.append(time_steps(step, synchronize, repetitions) / repetitions)
            waited.append(waited_ns() - waited_before)
            switches.append(involuntary_switches() - switches_before)
    finally:
        if enabled:
            gc.enable()
    return {"ns": ns, "waited_ns": waited, "involuntary_switches": switches, "repetitions": repetitions}
