"""With and without cuDNN: which operators PyTorch dispatches and which kernels it starts, by its profiler.

python cudnn_launched.py PLAN RESULT        (see through_the_kit.py)
"""

from __future__ import annotations

from typing import Any

import through_the_kit


def looked_at(loaded: Any, what: str, inputs: str) -> dict[str, list[str]]:
    """Names of the operators and of the kernels of one step. cuDNN's search for the best algorithm starts kernels too,
    but only in the first steps."""
    import torch
    from torch.profiler import ProfilerActivity

    step, synchronize = loaded.step(what, "device", inputs), loaded.network.synchronize
    for _ in range(3):
        step()
    synchronize()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    with torch.profiler.profile(activities=activities) as profile:
        step()
        synchronize()
    on_device = torch.autograd.DeviceType.CUDA
    operators, kernels = set(), set()
    for event in profile.events():
        if event.device_type != on_device and event.name.startswith("aten::"):
            operators.add(event.name)
        if event.device_type == on_device and not event.name.startswith(("Memcpy", "Memset", "aten::")):
            kernels.add(event.name)
    return {"operators": sorted(operators), "kernels": sorted(kernels)}


def prove(plan: dict[str, Any]) -> dict[str, Any]:
    worker = through_the_kit.worker(plan["adapter"])
    networks = []
    for network in plan["networks"]:
        found = {"model": network["model"], "what": network["what"]}
        for name, cudnn in (("with", True), ("without", False)):
            options = {"mode": "eager", "threads": plan["threads"], "cudnn": cudnn}
            with through_the_kit.loaded(worker, network, plan["device"], **options) as loaded:
                found[name] = looked_at(loaded, network["what"], network["inputs"])
        networks.append(found)
    return {"device": plan["device"], "networks": networks}


if __name__ == "__main__":
    through_the_kit.main(prove)
