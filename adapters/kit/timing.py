"""The timing loop: the only place in which a clock is read around a framework's work.

A sample is one timed interval of `repetitions` steps, with the device synchronized at both ends. What a sample
waited for a CPU is taken from the scheduler, outside the interval, so that disturbed samples can be told apart.
"""

from __future__ import annotations

import gc
import glob
import itertools
import os
import resource
import time
from typing import Callable, Dict, Optional

Step = Callable[[], object]

#: Seconds that are left to work that a step left behind, before its result is fetched.
PAUSE = 0.03

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


def others_ns() -> Optional[int]:
    """Nanoseconds that the machine's CPUs have worked for others than this process, since whenever; None if unknown.

    From /proc/stat, whose ticks are 10 ms: a difference means something only when added up over many turns.
    """
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    busy = user + nice + system + irq + softirq + steal
    return busy * (10**9 // os.sysconf("SC_CLK_TCK")) - time.process_time_ns()


def involuntary_switches() -> int:
    """How often this process's threads were taken off a CPU against their will."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def time_steps(step: Step, synchronize: Callable[[], None], repetitions: int) -> int:
    """Nanoseconds that `repetitions` steps take, from an idle device to an idle device."""
    synchronize()
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, repetitions):
        step()
    synchronize()
    return time.perf_counter_ns() - start


def warm_up(step: Step, synchronize: Callable[[], None], budget_ns: int) -> Dict[str, object]:
    """Run steps until `budget_ns` is spent, at least one; the time of each. The controller decides when to stop."""
    gc.collect()
    gc.freeze()  # what is alive now is not looked at again, so that a turn need not begin with a collection
    times = []  # type: List[int]
    deadline = time.perf_counter_ns() + budget_ns
    while not times or (time.perf_counter_ns() < deadline and len(times) < MOST_SAMPLES):
        times.append(time_steps(step, synchronize, 1))
    return {"ns": times}


def late_work(
    step: Step, synchronize: Callable[[], None], fetch: Callable[[object], object], repetitions: int, trials: int = 3
) -> Dict[str, int]:
    """Does `synchronize` return before the work is done? Then fetching a result at once takes longer than fetching one
    after a pause: by how many nanoseconds (the least of some trials each), and how long the fetch after a pause and the
    steps themselves took by our clock."""
    took, at_once, after_pause = [], [], []  # type: List[int], List[int], List[int]
    for trial in range(2 * trials):
        pause = trial % 2 == 1
        synchronize()
        begin = time.perf_counter_ns()
        for _ in range(repetitions):
            result = step()
        synchronize()
        end = time.perf_counter_ns()
        if pause:
            time.sleep(PAUSE)
        fetching = time.perf_counter_ns()
        fetch(result)
        (after_pause if pause else at_once).append(time.perf_counter_ns() - fetching)
        took.append(end - begin)
    return {
        "steps_ns": min(took),
        "fetch_ns": min(after_pause),
        "late_ns": max(0, min(at_once) - min(after_pause)),
    }


def take_turn(step: Step, synchronize: Callable[[], None], repetitions: int, budget_ns: int) -> Dict[str, object]:
    """Take samples until `budget_ns` is spent, at least one.

    Returns, per sample, nanoseconds per step, and the waited nanoseconds and involuntary switches of all threads over
    the whole sample; for the turn, its length and what the machine did for others meanwhile.
    """
    ns, waited, switches = [], [], []  # type: List[float], List[int], List[int]
    enabled = gc.isenabled()
    gc.disable()
    others_before, begin = others_ns(), time.perf_counter_ns()
    try:
        deadline = begin + budget_ns
        while not ns or (time.perf_counter_ns() < deadline and len(ns) < MOST_SAMPLES):
            waited_before, switches_before = waited_ns(), involuntary_switches()
            ns.append(time_steps(step, synchronize, repetitions) / repetitions)
            waited.append(waited_ns() - waited_before)
            switches.append(involuntary_switches() - switches_before)
    finally:
        if enabled:
            gc.enable()
    turn_ns, others_after = time.perf_counter_ns() - begin, others_ns()
    others = None if others_before is None or others_after is None else others_after - others_before
    return {
        "ns": ns,
        "waited_ns": waited,
        "involuntary_switches": switches,
        "repetitions": repetitions,
        "turn_ns": turn_ns,
        "others_ns": others,
    }
