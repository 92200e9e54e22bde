"""How far every cell is from what its machine can do: the roofline of the same run.

S. Williams, A. Waterman and D. Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", Communications of the ACM 52 (2009), pages 65-76: a step can be no faster than its operations at the
machine's highest rate, nor than its bytes at the memory's bandwidth. Both are measured in the scenario `roof`, through
every framework; the best of them is the roof, so no framework brings a ruler of its own.
"""

from __future__ import annotations

import numpy
import pandas

#: The models of the scenario `roof`: operations a second, and bytes a second.
COMPUTE, MEMORY = "gemm", "stream"

#: What shares one roof.
_PLACE = ["device", "threads", "precision"]


def fill(cells: pandas.DataFrame, idle: str) -> None:
    """Fill in `flops_per_s`, `compute_share` and `memory_share` of cells that show a time, where they can be known.

    cells: with `median_ns`, `step_flops`, `traffic_bytes` and what tells places apart. idle: the adapter that computes
    nothing. Shares are of the roof: 1 is all of it. `memory_share` can exceed 1 where a model fits into the caches.
    """
    seconds = cells["median_ns"] * 1e-9
    rates = {
        "flops_per_s": cells["step_flops"].astype("float64") / seconds,
        "bytes_per_s": cells["traffic_bytes"].astype("float64") / seconds,
    }
    counted = cells["adapter"].ne(idle) & cells["clock_scope"].ne("cold")
    # A CPU's name is each framework's own word for it; of GPUs there may be several.
    card = cells["device_name"].where(cells["device"].ne("cpu"), "").fillna("")
    cells["flops_per_s"] = rates["flops_per_s"].where(counted)
    for model, rate, share in (
        (COMPUTE, "flops_per_s", "compute_share"),
        (MEMORY, "bytes_per_s", "memory_share"),
    ):
        roof = rates[rate].where(counted & cells["scenario"].eq("roof") & cells["model"].eq(model))
        best = roof.groupby([*(cells[key] for key in _PLACE), card])
        highest = best.transform("max") if len(cells) else roof
        cells[share] = (rates[rate] / highest).where(counted).astype("float64").replace(numpy.inf, numpy.nan)
