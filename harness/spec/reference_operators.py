"""Operators that onnx.reference computes wrongly, in float32 whatever the input is, or very slowly: written anew.

Each is checked against ONNX's own node cases (tests/test_reference.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
import scipy.special
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference.op_run import OpRun

Array = numpy.ndarray


class Erf(OpRun):
    """ONNX Erf-13. onnx.reference's is in float32."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (scipy.special.erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """ONNX Gelu-20, whose function body would take onnx.reference's Erf."""

    op_domain = ""

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        if approximate == "tanh":
            inner = numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3))
        else:
            inner = scipy.special.erf(x / numpy.sqrt(2.0))
        return ((0.5 * x * (1 + inner)).astype(x.dtype),)


class LpNormalization(OpRun):
    """ONNX LpNormalization-22. onnx.reference's forgets that the 1-norm is of absolute values."""

    op_domain = ""

    def _run(self, x: Array, axis: int = -1, p: int = 2) -> tuple[Array]:
        norm = (numpy.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (numpy.where(norm == 0, 0, x / numpy.where(norm == 0, 1, norm)).astype(x.dtype),)


class GroupNormalization(OpRun):
    """ONNX GroupNormalization-21. onnx.reference's is in float32."""

    op_domain = ""

    def _run(
        self, x: Array, scale: Array, bias: Array, epsilon: float = 1e-5, num_groups: int = 1, stash_type: int = 1
    ) -> tuple[Array]:
        groups = x.reshape(x.shape[0], num_groups, -1)
        mean, variance = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
        normal = ((groups - mean) / numpy.sqrt(variance + epsilon)).reshape(x.shape)
        channels = (-1, *[1] * (x.ndim - 2))
        return ((normal * scale.reshape(channels) + bias.reshape(channels)).astype(x.dtype),)


class MeanVarianceNormalization(OpRun):
    """ONNX MeanVarianceNormalization-13. onnx.reference's function body mixes float64 with float32."""

    op_domain = ""

    def _run(self, x: Array, axes: Sequence[int] = (0, 2, 3)) -> tuple[Array]:
        over = tuple(axes)
        mean = x.mean(axis=over, keepdims=True)
        deviation = numpy.sqrt((x * x).mean(axis=over, keepdims=True) - mean * mean)
        return (((x - mean) / (deviation + 1e-9)).astype(x.dtype),)


class Conv(OpRun):
    """ONNX Conv-22; onnx.reference's gathers its windows element by element, most of the time of a reference."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        rank, size = w.ndim - 2, x.shape[1] // group
        windows, _ = _windows(x, 0, auto_pad, 0, dilations, w.shape[2:], pads, strides)
        over = [0, *range(rank + 1, 2 * rank + 1)]
        results = []
        for sample in windows:  # one at a time: each of them becomes a matrix
            parts = [
                numpy.tensordot(kernels, sample[g * size : (g + 1) * size], (range(1, rank + 2), over))
                for g, kernels in enumerate(numpy.split(w, group))
            ]
            results.append(numpy.concatenate(parts))
        y = numpy.stack(results) if results else numpy.zeros((0, len(w), *windows.shape[2 : 2 + rank]), x.dtype)
        return ((y if b is None else y + b.reshape(-1, *[1] * rank)).astype(x.dtype),)


class GlobalMaxPool(OpRun):
    """ONNX GlobalMaxPool-22. onnx.reference's takes the maximum over two axes whatever the rank."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class MaxPool(OpRun):
    """ONNX MaxPool-22. onnx.reference's pads the wrong sides where pads differ, and takes seconds."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        dilations: Sequence[int] | None = None,
        kernel_shape: Sequence[int] = (),
        pads: Sequence[int] | None = None,
        storage_order: int = 0,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array, ...]:
        lowest = -numpy.inf if x.dtype.kind == "f" else numpy.iinfo(x.dtype).min
        windows, begins = _windows(x, lowest, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        flat = windows.reshape(*windows.shape[: x.ndim], -1)
        values = flat.max(axis=-1).astype(x.dtype)
        if len(self.output) < 2:
            return (values,)
        places = numpy.unravel_index(flat.argmax(axis=-1), windows.shape[x.ndim :])
        spacing = dilations or [1] * len(kernel_shape)
        axes = numpy.indices(values.shape)
        inside = [
            begins[i][axes[i + 2]] + place * spacing[i] for i, place in enumerate(places)
        ]  # the position of each maximum in the unpadded input
        order = inside if storage_order == 0 else inside[::-1]
        extents = x.shape[2:] if storage_order == 0 else x.shape[:1:-1]
        within = numpy.ravel_multi_index(tuple(order), extents)
        plane = math.prod(x.shape[2:])
        return values, ((axes[0] * x.shape[1] + axes[1]) * plane + within).astype(numpy.int64)


class AveragePool(OpRun):
    """ONNX AveragePool-22; onnx.reference's takes seconds."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        count_include_pad: int = 0,
        dilations: Sequence[int] | None = None,
        kernel_shape: Sequence[int] = (),
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        windows, _ = _windows(x, 0, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        over = tuple(range(x.ndim, windows.ndim))
        counted = numpy.ones((1, 1, *x.shape[2:]), x.dtype)
        if count_include_pad:
            before, after = _halves(pads, len(kernel_shape))
            counted = numpy.pad(counted, [(0, 0), (0, 0), *zip(before, after, strict=True)], constant_values=1)
            counts, _ = _windows(
                counted, 0, auto_pad, ceil_mode, dilations, kernel_shape, None, strides, windows.shape[2 : x.ndim]
            )
        else:
            counts, _ = _windows(counted, 0, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        return ((windows.sum(axis=over) / counts.sum(axis=over)).astype(x.dtype),)


OPERATORS = [
    AveragePool,
    Conv,
    Erf,
    Gelu,
    GlobalMaxPool,
    GroupNormalization,
    LpNormalization,
    MaxPool,
    MeanVarianceNormalization,
]


def _windows(
    x: Array,
    fill: float,
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    kernel: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    extents: Sequence[int] | None = None,
) -> tuple[Array, list[Array]]:
    """Every pooling window: an array [N, C, *outputs, *kernel]; and per axis where windows begin in the input.

    extents: of the output, where they are known already. A window that would begin beyond the input and its first pad
    is left out (ONNX MaxPool-22, ceil_mode).
    """
    count = len(kernel)
    steps, spacing = strides or [1] * count, dilations or [1] * count
    before, after = _halves(pads, count)
    begins, widths = [], [(0, 0), (0, 0)]
    for i in range(count):
        size, reach = x.shape[2 + i], (kernel[i] - 1) * spacing[i] + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, (math.ceil(size / steps[i]) - 1) * steps[i] + reach - size)
            before[i] = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            after[i] = total - before[i]
        room = (size + before[i] + after[i] - reach) / steps[i]
        number = (math.ceil(room) if ceil_mode else math.floor(room)) + 1
        if ceil_mode and (number - 1) * steps[i] >= size + before[i]:
            number -= 1
        number = number if extents is None else extents[i]
        begins.append(numpy.arange(number) * steps[i] - before[i])
        widths.append((before[i], max(0, (number - 1) * steps[i] + reach - size - before[i])))
    padded = numpy.pad(x, widths, constant_values=fill)
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel, spacing, strict=True)]
    views = sliding_window_view(padded, reaches, axis=tuple(range(2, x.ndim)))
    starts = tuple(slice(0, (len(b) - 1) * s + 1, s) for b, s in zip(begins, steps, strict=True))
    inner = tuple(slice(None, None, d) for d in spacing)
    return views[(slice(None), slice(None), *starts, *inner)], begins


def _halves(pads: Sequence[int] | None, count: int) -> tuple[list[int], list[int]]:
    given = list(pads) if pads else [0] * (2 * count)
    return given[:count], given[count:]
