"""Where the windows of convolutions and pools stand, by ONNX's definitions of Conv, ConvTranspose and the pools.

Every argument and result is a list with one entry for each spatial axis, except `pads`, the attribute: all
paddings before, then all after. A span is what one window covers: (kernel - 1) * dilation + 1.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

Sizes = Sequence[int]
SAME = ("SAME_UPPER", "SAME_LOWER")


def spans_of(kernel: Sizes, dilations: Sizes) -> List[int]:
    return [(taps - 1) * dilation + 1 for taps, dilation in zip(kernel, dilations)]


def spatial_pads(
    extents: Sizes, spans: Sizes, strides: Sizes, auto_pad: str, pads: Optional[Sizes]
) -> Tuple[List[int], List[int]]:
    """Padding before and after. With SAME_*, as much as ceil(extent / stride) windows need."""
    if auto_pad not in SAME:
        return _given(auto_pad, pads, len(extents))
    axes = zip(extents, spans, strides)
    return _halved([max((-(-n // stride) - 1) * stride + span - n, 0) for n, span, stride in axes], auto_pad)


def transposed_extents(extents: Sizes, spans: Sizes, strides: Sizes, output_padding: Sizes) -> List[int]:
    """All that ConvTranspose's inputs reach, and its output_padding."""
    axes = zip(extents, spans, strides, output_padding)
    return [(extent - 1) * stride + span + more for extent, span, stride, more in axes]


def transposed_pads(
    extents: Sizes, whole: Sizes, strides: Sizes, auto_pad: str, pads: Optional[Sizes], output_shape: Optional[Sizes]
) -> Tuple[List[int], List[int]]:
    """What ConvTranspose takes off the `transposed_extents` before and after.

    Negative where output_shape, [N, C, ...] or only its spatial part, asks for more than there is.
    """
    if output_shape is None and auto_pad not in SAME:
        return _given(auto_pad, pads, len(extents))
    if output_shape is None:
        output_shape = [extent * stride for extent, stride in zip(extents, strides)]
    return _halved([extent - wanted for extent, wanted in zip(whole, output_shape[-len(whole) :])], auto_pad)


def _given(auto_pad: str, pads: Optional[Sizes], rank: int) -> Tuple[List[int], List[int]]:
    if auto_pad == "VALID" or not pads:
        return [0] * rank, [0] * rank
    return list(pads[:rank]), list(pads[rank:])


def _halved(totals: Sizes, auto_pad: str) -> Tuple[List[int], List[int]]:
    """Of an odd total, SAME_UPPER puts the larger half after."""
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small)]
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def positions(
    extents: Sizes, spans: Sizes, strides: Sizes, before: Sizes, after: Sizes, ceil_mode: int = 0
) -> List[int]:
    """How many windows there are. With ceil_mode the last may reach past the padding after, not start in it."""
    counts = []
    for extent, span, stride, first, last in zip(extents, spans, strides, before, after):
        room = extent + first + last - span
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= extent + first:
            count -= 1
        counts.append(count)
    return counts


def reach_after(extents: Sizes, spans: Sizes, strides: Sizes, before: Sizes, counts: Sizes) -> List[int]:
    """How far the last of `counts` windows reaches past the image; negative where it ends inside."""
    axes = zip(extents, spans, strides, before, counts)
    return [(count - 1) * stride + span - extent - first for extent, span, stride, first, count in axes]
