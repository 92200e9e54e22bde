"""Nodes whose kernel on the CPU refuses what ONNX allows or answers wrongly, as nodes that it answers rightly.

What cannot be repaired is refused here, before anything runs. The harness then tries the operator's function body.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from ..kit.program import Node, Program, Tensor
from .onnx_file import NodeProto, OnnxFile, node

#: ONNX's numbers of element types.
_FLOAT, _UINT16, _INT16, _INT32, _INT64, _DOUBLE = 1, 4, 5, 6, 7, 11


class Editor:
    """Collects the nodes that stand for those of a file."""

    def __init__(self, file: OnnxFile, program: Program, device: str):
        self.file, self.program, self.device = file, program, device
        self.nodes: List[NodeProto] = []

    def tensor(self, name: str) -> Optional[Tensor]:
        """What the Program says of a tensor; None for a constant that only the file has."""
        return self.program.tensors.get(name)

    def dtype(self, name: str) -> str:
        tensor = self.tensor(name)
        return tensor.dtype if tensor is not None else "int64"

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


def repair(file: OnnxFile, program: Program, device: str) -> Dict[str, int]:
    """Repair a file's nodes in place; how many of each operator. Raises `Unsupported` for what cannot be repaired."""
    calls = {call.outputs: call for call in program.nodes}
    editor, counts = Editor(file, program, device), {}
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


def _dft(editor: Editor, proto: NodeProto, call: Node) -> bool:
    length = editor.program.tensors[call.outputs[0]].shape[call.attributes.get("axis", -2)]
    to_complex = call.attributes.get("inverse") and not call.attributes.get("onesided")
    if to_complex and length & length - 1 and editor.dtype(call.inputs[0]) == "float32":
        # In float64 it is nearer to the truth than ONNX's reference, but outside the tolerance of ONNX's tests.
        raise _refuse(call, "does not round an inverse transform of this length as ONNX's reference does in float32")
    return _in_float64(0)(editor, proto, call)


# workaround: kernels exist for some combinations of types only; ONNX itself reads indices as int64.
def _one_hot(editor: Editor, proto: NodeProto, call: Node) -> bool:
    indices, depth, values = (editor.dtype(name) for name in proto.inputs)
    if indices != "int64":
        editor.before(proto, 0, "Cast", to=_INT64)
    wanted = "float32" if values == "int32" else "int64"
    if depth != wanted:
        editor.before(proto, 1, "Cast", to=_FLOAT if wanted == "float32" else _INT64)
    return False


# workaround: Max and Min have no kernel for 16 bits.
def _extremum(editor: Editor, proto: NodeProto, call: Node) -> bool:
    kinds = {"int16": _INT16, "uint16": _UINT16}
    dtype = editor.dtype(proto.inputs[0])
    if dtype not in kinds:
        return False
    for position in range(len(proto.inputs)):
        editor.before(proto, position, "Cast", to=_INT32)
    finish = editor.after(proto, 0, "Cast", to=kinds[dtype])
    editor.nodes.append(proto)
    finish()
    return True


# workaround: Pow has no kernel for exponents of small or unsigned integers.
def _pow(editor: Editor, proto: NodeProto, call: Node) -> bool:
    if editor.dtype(proto.inputs[1]) in ("int8", "int16", "uint8", "uint16", "uint32"):
        editor.before(proto, 1, "Cast", to=_INT64)
    return False


# workaround: BitCast has no kernel for bool, whose byte is 0 or 1.
def _bit_cast(editor: Editor, proto: NodeProto, call: Node) -> bool:
    if editor.dtype(proto.inputs[0]) != "bool" or call.attributes["to"] not in ("uint8", "int8"):
        return False
    proto.op = "Cast"
    editor.nodes.append(proto)
    return True


# workaround: MaxUnpool reads indices as those of output_shape; they are those of the shape without it, padded behind.
def _max_unpool(editor: Editor, proto: NodeProto, call: Node) -> bool:
    if len(proto.inputs) < 3:
        return False
    wanted = call.attributes.get("output_shape")
    if wanted is None:
        raise _refuse(call, "reads indices as those of output_shape, which is not a constant here")
    kernel = call.attributes["kernel_shape"]
    strides = call.attributes.get("strides") or [1] * len(kernel)
    pads = call.attributes.get("pads") or [0] * 2 * len(kernel)
    given = editor.program.tensors[call.inputs[0]].shape
    around = [first + last for first, last in zip(pads, pads[len(kernel) :])]
    own = [(n - 1) * step + k - pad for n, step, k, pad in zip(given[2:], strides, kernel, around)]
    missing = [more - less for more, less in zip(wanted, [*given[:2], *own])]
    if min(missing) < 0:
        raise _refuse(call, "cannot make its output smaller by output_shape")
    del proto.inputs[2]
    amounts = f"{proto.outputs[0]}/pads"
    editor.file.add(amounts, _INT64, numpy.array([0] * len(wanted) + missing, numpy.int64))
    inner = f"{proto.outputs[0]}/unpooled"
    wanted_name, proto.outputs[0] = proto.outputs[0], inner
    editor.nodes.append(proto)
    editor.op("Pad", [inner, amounts], wanted_name)
    return True


def _conv_integer(editor: Editor, proto: NodeProto, call: Node) -> bool:
    zero_points = editor.program.tensors[call.inputs[3]].shape if len(call.inputs) > 3 and call.inputs[3] else ()
    if element_count(zero_points) != 1:
        raise _refuse(call, "knows only one zero point for all weights")
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
    query, key, _, mask, past, *_ = [editor.tensor(name) if name else None for name in call.inputs] + [None] * 5
    wants_scores = len(call.outputs) > 3 and call.outputs[3] and call.attributes.get("qk_matmul_output_mode", 0) == 2
    if wants_scores and (call.attributes.get("is_causal") or mask is not None and mask.dtype == "bool"):
        raise _refuse(call, "writes the lowest finite number into qk_matmul_output where ONNX has -inf")
    total = key.shape[-2] + (past.shape[-2] if past is not None else 0)
    if mask is not None and mask.shape[-1] != total:
        raise _refuse(call, "does not pad a mask that is shorter than the keys")
    if query.dtype == "float16" and call.attributes.get("is_causal") and editor.device == "cpu":
        raise _refuse(call, "has twice the error of the function body in causal float16")
    return False


def _random(editor: Editor, proto: NodeProto, call: Node) -> bool:
    raise _refuse(call, "draws other numbers than ONNX's reference does from the same seed")


def _reduction(editor: Editor, proto: NodeProto, call: Node) -> bool:
    tensor = editor.program.tensors[call.inputs[0]]
    if tensor.dtype == "bool" and 0 in tensor.shape:
        raise _refuse(call, "does not reduce an empty tensor of bool")
    return False


REPAIRS: Dict[str, Repair] = {
    "RNN": _time_first([5], [1]),
    "GRU": _time_first([5], [1]),
    "LSTM": _time_first([5, 6], [1, 2]),
    "DFT": _dft,
    "STFT": _in_float64(0, 2),
    "OneHot": _one_hot,
    "Dropout": _dropout,
    "Resize": _resize,
    "Attention": _attention,
    "ReduceMax": _reduction,
    "ReduceMin": _reduction,
    "Max": _extremum,
    "Min": _extremum,
    "Pow": _pow,
    "BitCast": _bit_cast,
    "MaxUnpool": _max_unpool,
    "ConvInteger": _conv_integer,
    "Bernoulli": _random,
    "Multinomial": _random,
    "RandomNormal": _random,
    "RandomNormalLike": _random,
    "RandomUniform": _random,
    "RandomUniformLike": _random,
}
