"""Float32 that is less inside: an error whose size is that of a narrower type's rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject
from harness.live import LiveCell
from harness.spec import reference
from harness.spec.reference import Arrays

#: Types that products may be computed in behind one's back; float16 and tf32 have the same mantissa.
_TYPES = {"bf16": numpy.dtype(ml_dtypes.bfloat16), "fp16 or tf32": numpy.dtype(numpy.float16)}

#: An error within this factor of what a type's rounding makes is called by its name.
_ALIKE = 12.0


def check(subject: Subject) -> Iterator[Finding]:
    live = [one for one in subject.able() if one.cell.precision == "fp32"]
    found = False
    for one in live:
        error = one.finding.max_relative_error
        if not one.finding.reason or not 0 < error < 0.1:
            continue
        name = likeness(one, error)
        if name:
            found = True
            yield failed(
                f"{one.cell.model}: fp32 is off by {error:.2g} of the largest value, which is what {name} does to it",
                subject.source.method("load"),
            )
    if not found:
        largest = max((one.finding.max_relative_error for one in live if not one.finding.reason), default=math.nan)
        yield passed(
            f"no error has the size of bf16's, fp16's or tf32's rounding; the largest that passes: {largest:.1g}"
        )


def likeness(one: LiveCell, error: float) -> str:
    """The narrower type whose rounding of inputs and weights makes an error most like this one; empty for none."""
    program, inputs = one.workload.program, one.workload.input_arrays()
    right = one.workload.reference().outputs
    distances = {}
    for name, kind in _TYPES.items():
        narrow = replace(program, weights=_rounded(program.weights, kind))
        outputs = reference.evaluate_outputs(reference.in_float64(narrow), reference.as_float64(_rounded(inputs, kind)))
        typical = max(reference.relative_error(outputs[key], right[key]) for key in right)
        distances[name] = abs(math.log(error / typical)) if typical else math.inf
    name = min(distances, key=lambda key: distances[key])
    return name if distances[name] < math.log(_ALIKE) else ""


def _rounded(arrays: Arrays, kind: numpy.dtype[Any]) -> Arrays:
    """Arrays whose float32 elements another type could hold."""
    return {
        name: numpy.asarray(a).astype(kind).astype(numpy.float32) if a.dtype == numpy.float32 else numpy.asarray(a)
        for name, a in arrays.items()
    }
