"""Nodes that OpenVINO would answer wrongly: refused before anything runs."""

from __future__ import annotations

from typing import Callable, Dict, Iterator

from openvino import Model

from ..kit.interface import Options, Unsupported
from ..kit.program import Node, Program

_WITHOUT_FLOAT64 = "computes float64 in float32"


def refuse(program: Program, options: Options) -> None:
    """Raises `Unsupported` for the first node that would be answered wrongly."""
    for name, array in program.weights.items():
        if not array.size:
            raise Unsupported(f"OpenVINO's importer reads no array without elements from a file: {name}")
    for node in program.nodes:
        for reason in _RULES.get(node.op, _no_reason)(program, node):
            raise _refused(node, reason)
        names = (*node.inputs, *node.outputs, *node.operands.values())
        if any(program.tensors[name].dtype == "float64" for name in names if name in program.tensors):
            raise _refused(node, _WITHOUT_FLOAT64)


def refuse_other_shapes(program: Program, model: Model) -> None:
    """Raises `Unsupported` where the importer infers another shape than ONNX does."""
    producers = {name: node for node in program.nodes for name in node.outputs}
    for op in model.get_ordered_ops():
        for output in op.outputs():
            shape = output.get_partial_shape()
            for name in output.names & producers.keys() if shape.is_static else ():
                right = program.tensors[name].shape
                if tuple(shape.to_shape()) != right:
                    raise _refused(producers[name], f"makes {list(shape.to_shape())} where ONNX makes {list(right)}")


def _refused(node: Node, reason: str) -> Unsupported:
    return Unsupported(f"OpenVINO {reason}", node.op, node.name)


#: Says why a node is refused; nothing where it is right.
Rule = Callable[[Program, Node], Iterator[str]]


def _no_reason(program: Program, node: Node) -> Iterator[str]:
    return iter(())


def _always(reason: str) -> Rule:
    def rule(program: Program, node: Node) -> Iterator[str]:
        yield reason

    return rule


def _given(node: Node, position: int) -> bool:
    return position < len(node.inputs) and bool(node.inputs[position])


def _attention(program: Program, node: Node) -> Iterator[str]:
    if any(node.attributes.get(f"{side}_window_size", -1) != -1 for side in ("left", "right")):
        yield "does not know the window of Attention and attends to everything"
    wants_scores = len(node.outputs) > 3 and bool(node.outputs[3])
    if wants_scores and node.attributes.get("is_causal") and _given(node, 3) and _given(node, 4):
        yield "sets a causal mask off from the end of the past wrongly where scores are wanted too"


def _bit_shift(program: Program, node: Node) -> Iterator[str]:
    if program.tensors[node.inputs[0]].dtype.startswith("int"):
        yield "shifts the bits of signed integers as if they had no sign, and saturates"


def _cast(program: Program, node: Node) -> Iterator[str]:
    kind = program.tensors[node.outputs[0]].dtype
    if kind == "float8e8m0":
        yield "rounds to float8e8m0 otherwise than ONNX does"
    elif kind.startswith("float8") and node.attributes.get("saturate", 1):
        yield f"does not saturate what is out of the range of {kind}"


def _dft(program: Program, node: Node) -> Iterator[str]:
    if not node.attributes.get("onesided"):
        yield "computes a transform of the whole spectrum with errors larger than float32 has to have"


def _recurrent(program: Program, node: Node) -> Iterator[str]:
    if node.attributes.get("layout"):
        yield "knows only time before batch, layout 0"
    if node.op == "LSTM" and _given(node, 7):
        yield "leaves out the peepholes of an LSTM"


def _resize(program: Program, node: Node) -> Iterator[str]:
    mode = node.attributes.get("mode", "nearest")
    if mode != "nearest" and node.attributes.get("antialias"):
        yield "weighs the points of an antialiased Resize otherwise than ONNX does"
    if mode == "cubic" and node.attributes.get("exclude_outside"):
        yield "has no exclude_outside"
    scales = node.attributes.get("scales")
    if node.attributes.get("coordinate_transformation_mode") == "align_corners" and scales is not None:
        shape = program.tensors[node.inputs[0]].shape
        axes = node.attributes.get("axes") or range(len(shape))
        if any(float(scale) * shape[axis] % 1 for axis, scale in zip(axes, scales)):
            yield "aligns corners to the rounded extent where a scale gives a fractional one"


def _empty(program: Program, node: Node) -> Iterator[str]:
    if 0 in program.tensors[node.inputs[0]].shape:
        yield "reduces nothing at all to the largest finite number, not to infinity"


def _maximum(program: Program, node: Node) -> Iterator[str]:
    yield from _empty(program, node)
    if any(node.outputs[0] in other.inputs and other.op in ("Equal", "IsInf") for other in program.nodes):
        yield "takes the lowest finite number for the maximum of what is -inf throughout, which is compared here"


def _quantize(program: Program, node: Node) -> Iterator[str]:
    makers = {name: other for other in program.nodes for name in other.outputs}
    scale = makers.get(node.inputs[1])
    if scale is not None and scale.op == "Div":
        yield "divides by a constant with an error that is seen where a computed scale quantises"


def _roi_align(program: Program, node: Node) -> Iterator[str]:
    if node.attributes.get("mode", "avg") == "max":
        yield "takes the maximum of interpolated points, ONNX that of weighted ones"


def _space_to_depth(program: Program, node: Node) -> Iterator[str]:
    if node.attributes.get("mode", "DCR") != "DCR":
        yield "knows only the order DCR of SpaceToDepth"


_random = _always("draws other numbers than ONNX's reference does from the same seed")

_RULES: Dict[str, Rule] = {
    "Attention": _attention,
    "BitShift": _bit_shift,
    "Cast": _cast,
    "CastLike": _cast,
    "DFT": _dft,
    "DynamicQuantizeLinear": _always("rounds a quotient that it computes by a reciprocal"),
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Multinomial": _random,
    "NonMaxSuppression": _always("drops a box whose overlap equals the threshold, which ONNX keeps"),
    "QuantizeLinear": _quantize,
    "RandomNormal": _random,
    "RandomNormalLike": _random,
    "RandomUniform": _random,
    "RandomUniformLike": _random,
    "ReduceMax": _maximum,
    "ReduceMin": _empty,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "SpaceToDepth": _space_to_depth,
}
