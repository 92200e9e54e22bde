"""Whether an answer is right: strictly, by dtype, shape, and the case's own tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from onnx import helper

from harness.kit import Tensor, arrays
from harness.spec import elements

#: ONNX's own runner allows bfloat16 two units in the last place where a case's tolerance is finer.
_BFLOAT16_RTOL = 2.0**-6


def objection(
    got: Mapping[str, numpy.ndarray], tensors: tuple[Tensor, ...], right: list[Any], rtol: float, atol: float
) -> str:
    """What is wrong with the outputs of a case; empty where nothing is.

    got: arrays by name, as a worker wrote them. tensors: the outputs as the Program declares them, in the order of
    `right`. An element may differ by atol + rtol * |right| (numpy.testing.assert_allclose, as in ONNX's own runner).
    """
    if len(tensors) != len(right):
        return f"{len(tensors)} outputs; {len(right)} are right"
    for tensor, expected in zip(tensors, right, strict=True):
        found = _objection(got.get(tensor.name), tensor, numpy.asarray(expected), rtol, atol)
        if found:
            return f"output {tensor.name!r}: {found}"
    return ""


def _objection(got: Any, tensor: Tensor, right: numpy.ndarray, rtol: float, atol: float) -> str:
    if got is None:
        return "missing"
    wanted = elements.name_of(helper.np_dtype_to_tensor_dtype(right.dtype))
    if tensor.dtype != wanted:
        return f"dtype {tensor.dtype}; {wanted} is right"
    if got.dtype not in (right.dtype, arrays.carrier(tensor.dtype)):
        return f"dtype {got.dtype}; {tensor.dtype} is right"
    if got.shape != right.shape:
        return f"shape {list(got.shape)}; {list(right.shape)} is right"
    if right.dtype.kind in "OUS":
        return "" if numpy.array_equal(got, right) else "other strings"
    if tensor.dtype in arrays.CARRIERS:
        got = got.view(helper.tensor_dtype_to_np_dtype(elements.number_of(tensor.dtype))).astype(numpy.float32)
        right = right.astype(numpy.float32)
        rtol = max(rtol, _BFLOAT16_RTOL) if tensor.dtype == "bfloat16" else rtol
    return _difference(got, right, rtol, atol)


def _difference(got: numpy.ndarray, right: numpy.ndarray, rtol: float, atol: float) -> str:
    with numpy.errstate(all="ignore"):
        near = numpy.isclose(got, right, rtol=rtol, atol=atol, equal_nan=True)
    if near.all():
        return ""
    wide = numpy.complex128 if right.dtype.kind == "c" else numpy.float64
    with numpy.errstate(all="ignore"):
        distance = numpy.abs(got.astype(wide) - right.astype(wide))
    distance = numpy.where(near, 0.0, numpy.nan_to_num(distance, nan=numpy.inf))
    worst = numpy.unravel_index(int(distance.argmax()), right.shape)
    return (
        f"{int((~near).sum())} of {right.size} elements differ; at {[int(i) for i in worst]} it is "
        f"{got[worst]!s}, right is {right[worst]!s}"
    )
