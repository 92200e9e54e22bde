"""The harness's clock against CUDA's own: events around the same steps, and what a clock without synchronization shows.

python clocks_agree.py PLAN RESULT        (see through_the_kit.py)
"""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable
from typing import Any

import through_the_kit

#: An interval is so long that what starting and waiting for it takes is little against it.
_INTERVAL_NS = 50e6

_WARM_UP_NS = 500_000_000

_TRIALS = 5


def both(timing: Any, step: Callable[[], Any], synchronize: Callable[[], None], repetitions: int) -> tuple[int, float]:
    """Nanoseconds of the same steps by the harness's clock, and between two events on the device."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    done = 0

    def marked() -> None:
        nonlocal done
        if done == 0:
            begin.record()
        step()
        done += 1
        if done == repetitions:
            end.record()

    wall = timing.time_steps(marked, synchronize, repetitions)
    return wall, begin.elapsed_time(end) * 1e6


def measured(loaded: Any, what: str, inputs: str, device: str) -> dict[str, Any]:
    """Medians over trials, in nanoseconds: `wall_ns` by the harness's clock, `event_ns` by events (None on a CPU),
    `unsynchronized_ns` by a clock that does not wait; and what `kit.timing.late_work` finds."""
    timing = importlib.import_module("adapters.kit.timing")
    if what == "train":
        loaded.reset()
    step, synchronize = loaded.step(what, "device", inputs), loaded.network.synchronize
    times = timing.warm_up(step, synchronize, _WARM_UP_NS)["ns"]
    repetitions = max(1, math.ceil(_INTERVAL_NS / statistics.median(times[len(times) // 2 :])))
    wall, event, hasty = [], [], []
    for _ in range(_TRIALS):
        if device == "cuda":
            by_clock, by_event = both(timing, step, synchronize, repetitions)
            event.append(by_event)
        else:
            by_clock = timing.time_steps(step, synchronize, repetitions)
        wall.append(by_clock)
        hasty.append(timing.time_steps(step, lambda: None, repetitions))
        synchronize()
    fetch = loaded.network.fetch if what == "infer" else loaded.network.loss
    return {
        "repetitions": repetitions,
        "wall_ns": statistics.median(wall),
        "event_ns": statistics.median(event) if event else None,
        "unsynchronized_ns": statistics.median(hasty),
        **timing.late_work(step, synchronize, fetch, repetitions),
    }


def prove(plan: dict[str, Any]) -> dict[str, Any]:
    worker = through_the_kit.worker(plan["adapter"])
    device, networks = plan["device"], []
    for network in plan["networks"]:
        for mode in ("eager", "cudagraphs") if device == "cuda" else ("eager",):
            options = {"mode": mode, "threads": plan["threads"]}
            with through_the_kit.loaded(worker, network, device, **options) as loaded:
                found = measured(loaded, network["what"], network["inputs"], device)
            networks.append({"model": network["model"], "what": network["what"], "mode": mode, **found})
    return {"device": device, "networks": networks}


if __name__ == "__main__":
    through_the_kit.main(prove)
