"""Nodes whose kernel on the CPU refuses what ONNX allows or answers wrongly, as nodes that it answers rightly.

What cannot be repaired is refused here, before anything runs. The harness then tries the operator's function body.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

import numpy

from ..kit.interface import Unsupported
from ..kit.program import Node, Program
from .onnx_file import NodeProto, OnnxFile, node

#: ONNX's numbers of element types.
_FLOAT, _INT64, _DOUBLE = 1, 7, 11


class Editor:
    """Collects the nodes that stand for those of a file."""

    def __init__(self, file: OnnxFile, program: Program):
        self.file, self.program = file, program
        self.nodes: List[NodeProto] = []

    def dtype(self, name: str) -> str:
        return self.program.tensors[name].dtype

    def op(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append a node with one output; returns its name."""
        name = f"repaired/{op}/{len(self.nodes)}"
        output = output or name
        self.nodes.append(node(op, inputs, [output], name, **attributes))
        return output

    def before(self, proto: NodeProto, position: int, op: str, **attributes: Any) -> None:
        """Send an input of a node, where it is given, through another operator first."""
        if position < len(proto.inputs) and proto.inputs[position]:
            proto.inputs[position] = self.op(op, [proto.inputs[position]], **attributes)

    def after(self, proto: NodeProto, position: int, op: str, **attributes: Any) -> Callable[[], None]:
        """Take an output of a node, where it is wanted, from another operator; call the result behind the node."""
        if position >= len(proto.outputs) or not proto.outputs[position]:
            return lambda: None
        wanted, inner = proto.outputs[position], f"{proto.outputs[position]}/repaired"
        proto.outputs[position] = inner
        return lambda: self.op(op, [inner], wanted, **attributes) and None


#: Appends what stands for a node (the file's, and the Program's), or returns False to keep it as it is now.
Repair = Callable[[Editor, NodeProto, Node], bool]


def repair(file: OnnxFile, program: Program) -> Dict[str, int]:
    """Repair a file's nodes in place; how many of each operator. Raises `Unsupported` for what cannot be repaired."""
    calls = {node.outputs: node for node in program.nodes}
    editor, counts = Editor(file, program), {}
    for proto in file.nodes:
        call = calls.get(tuple(proto.outputs))
        mend = REPAIRS.get(proto.op) if call is not None and not call.domain else None
        if mend is not None and mend(editor, proto, call):
            counts[proto.op] = counts.get(proto.op, 0) + 1
        else:
            editor.nodes.append(proto)
    file.nodes = editor.nodes
    return counts


def _refuse(call: Node, reason: str) -> Unsupported:
    return Unsupported(f"ONNX Runtime's kernel {reason}", call.op, call.name)


# workaround: the recurrent kernels know only time before batch (layout 0).
def _time_first(states_in: Sequence[int], states_out: Sequence[int]) -> Repair:
    def mend(editor: Editor, proto: NodeProto, call: Node) -> bool:
        if not call.attributes.get("layout", 0):
            return False
        del proto.attributes["layout"]
        editor.before(proto, 0, "Transpose", perm=[1, 0, 2])
        for position in states_in:
            editor.before(proto, position, "Transpose", perm=[1, 0, 2])
        behind = [editor.after(proto, 0, "Transpose", perm=[2, 0, 1, 3])]
        behind += [editor.after(proto, position, "Transpose", perm=[1, 0, 2]) for position in states_out]
        editor.nodes.append(proto)
        for finish in behind:
            finish()
        return True

    return mend


# workaround: the float32 Fourier transforms lose up to two digits more than float32 must; those of float64 do not.
def _in_float64(*positions: int) -> Repair:
    def mend(editor: Editor, proto: NodeProto, call: Node) -> bool:
        if editor.dtype(proto.inputs[0]) != "float32":
            return False
        for position in positions:
            editor.before(proto, position, "Cast", to=_DOUBLE)
        finish = editor.after(proto, 0, "Cast", to=_FLOAT)
        editor.nodes.append(proto)
        finish()
        return True

    return mend


# workaround: kernels exist for some combinations of types only; ONNX itself reads indices as int64.
def _one_hot(editor: Editor, proto: NodeProto, call: Node) -> bool:
    indices, depth, values = (
        editor.dtype(name) if name in editor.program.tensors else "int64" for name in proto.inputs
    )
    if indices != "int64":
        editor.before(proto, 0, "Cast", to=_INT64)
    wanted = "float32" if values == "int32" else "int64"
    if depth != wanted:
        editor.before(proto, 1, "Cast", to=_FLOAT if wanted == "float32" else _INT64)
    return False


def _dropout(editor: Editor, proto: NodeProto, call: Node) -> bool:
    training = call.attributes.get("training_mode", False) or "training_mode" in call.operands
    if training and (call.attributes.get("ratio", 0.5) or "ratio" in call.operands):
        raise _refuse(call, "drops other elements than ONNX's reference does from the same seed")
    return False


def _resize(editor: Editor, proto: NodeProto, call: Node) -> bool:
    scales = call.attributes.get("scales")
    if call.attributes.get("coordinate_transformation_mode", "half_pixel") != "align_corners" or not scales:
        return False
    shape = editor.program.tensors[call.inputs[0]].shape
    axes = call.attributes.get("axes") or range(len(shape))
    for axis, scale in zip(axes, scales):
        if float(numpy.float32(scale)) * shape[axis] % 1:
            raise _refuse(call, "aligns corners to the rounded extent where a scale gives a fractional one")
    return False


def _attention(editor: Editor, proto: NodeProto, call: Node) -> bool:
    masked = call.attributes.get("is_causal", 0) or len(call.inputs) > 3 and call.inputs[3]
    if len(call.outputs) > 3 and call.outputs[3] and masked and call.attributes.get("qk_matmul_output_mode", 0) == 2:
        raise _refuse(call, "writes the lowest finite number into qk_matmul_output where ONNX has -inf")
    return False


def _reduction(editor: Editor, proto: NodeProto, call: Node) -> bool:
    tensor = editor.program.tensors[call.inputs[0]]
    if tensor.dtype == "bool" and 0 in tensor.shape:
        raise _refuse(call, "does not reduce an empty tensor of bool")
    return False


REPAIRS: Dict[str, Repair] = {
    "RNN": _time_first([5], [1]),
    "GRU": _time_first([5], [1]),
    "LSTM": _time_first([5, 6], [1, 2]),
    "DFT": _in_float64(0),
    "STFT": _in_float64(0, 2),
    "OneHot": _one_hot,
    "Dropout": _dropout,
    "Resize": _resize,
    "Attention": _attention,
    "ReduceMax": _reduction,
    "ReduceMin": _reduction,
}
