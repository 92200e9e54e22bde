"""The kit's arithmetic of windows, against ONNX's own shape inference."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, shape_inference

from adapters.kit import windows

AUTO_PAD = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def inferred(op: str, shapes: list[list[int]], attributes: dict) -> list[int]:
    """The spatial extents that ONNX infers for one node's output."""
    inputs = [helper.make_tensor_value_info(f"i{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(shapes)]
    node = helper.make_node(op, [value.name for value in inputs], ["y"], **attributes)
    graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    shape = shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape
    return [extent.dim_value for extent in shape.dim][2:]


def sizes(low: int, high: int, count: int = 2) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=count, max_size=count)


@given(sizes(1, 12), sizes(1, 4), sizes(1, 3), sizes(1, 2), sizes(0, 3, 4), st.sampled_from(AUTO_PAD), st.booleans())
def test_a_pool_has_as_many_windows_as_onnx_infers(extents, kernel, strides, dilations, pads, auto_pad, ceil):
    spans = windows.spans_of(kernel, dilations)
    before, after = windows.spatial_pads(extents, spans, strides, auto_pad, pads)
    assume(all(n + b + a >= s for n, b, a, s in zip(extents, before, after, spans, strict=True)))
    ceil_mode = int(ceil and auto_pad == "NOTSET")
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "auto_pad": auto_pad}
    attributes |= {"pads": pads} if auto_pad == "NOTSET" else {}
    expected = inferred("MaxPool", [[1, 1, *extents]], attributes | {"ceil_mode": ceil_mode})
    assert windows.positions(extents, spans, strides, before, after, ceil_mode) == expected


@given(sizes(1, 6), sizes(1, 4), sizes(1, 3), sizes(1, 2), sizes(0, 1, 4), st.sampled_from(AUTO_PAD))
def test_a_transposed_convolution_is_cropped_to_what_onnx_infers(extents, kernel, strides, dilations, pads, auto_pad):
    spans = windows.spans_of(kernel, dilations)
    # With SAME_* and strides beyond the span ONNX's text and its shape inference disagree.
    assume(all(span >= stride for span, stride in zip(spans, strides, strict=True)))
    whole = windows.transposed_extents(extents, spans, strides, [0, 0])
    before, after = windows.transposed_pads(extents, whole, strides, auto_pad, pads, None)
    left = [n - b - a for n, b, a in zip(whole, before, after, strict=True)]
    assume(min(left) > 0)
    attributes = {"strides": strides, "dilations": dilations, "auto_pad": auto_pad}
    attributes |= {"pads": pads} if auto_pad == "NOTSET" else {}
    assert left == inferred("ConvTranspose", [[1, 1, *extents], [1, 1, *kernel]], attributes)


@pytest.mark.parametrize(("auto_pad", "expected"), [("SAME_UPPER", ([1], [2])), ("SAME_LOWER", ([2], [1]))])
def test_the_odd_one_goes_after_with_same_upper(auto_pad, expected):
    assert windows.spatial_pads([8], [4], [1], auto_pad, None) == expected
    assert windows.transposed_pads([8], [11], [1], auto_pad, None, None) == expected


def test_no_window_starts_in_the_padding_after():
    assert windows.positions([4], [1], [3], [0], [2], ceil_mode=1) == [2]
    assert windows.reach_after([4], [1], [3], [0], [2]) == [0]
