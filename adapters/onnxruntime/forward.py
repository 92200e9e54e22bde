"""The forward graph of a training Program, rewritten so that ONNX Runtime's gradient builder can differentiate it.

Only operators change whose gradient wants something that the inference operator does not give, or whose gradient
is wrong as it stands. Each rewriting computes exactly the same outputs.
"""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterable, List

import numpy
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from ..kit.interface import Unsupported
from ..kit.program import Program

#: The domain of ONNX Runtime's own operators.
MICROSOFT = "com.microsoft"

#: The newest operator set and file version that the training package knows. What came after operator set 21 only
#: added to it, so a newer file is relabelled; what it uses of the new things, the session then refuses.
OPSET, IR_VERSION = 21, 10


#: Appends what stands for a node, or returns False to keep the node as it is.
Rewriting = Callable[["Writer", NodeProto, Program], bool]


class Writer:
    """Collects nodes and constants, with names of their own, below a prefix, for what the Program does not name."""

    def __init__(self, prefix: str, nodes: Iterable[NodeProto] = ()):
        self.nodes: List[NodeProto] = list(nodes)
        self._prefix = prefix
        self.constants: Dict[str, onnx.TensorProto] = {}
        self._count = 0

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{self._prefix}/{stem}/{self._count}"

    def constant(self, value, dtype: str) -> str:
        """The name of a constant; the same value is stored once."""
        array = numpy.array(value, dtype)
        key = f"{self._prefix}/constant/{dtype}/{list(array.shape)}/{array.tobytes().hex()}"
        self.constants.setdefault(key, numpy_helper.from_array(array, key))
        return key

    def zeros(self, shape, dtype: str) -> str:
        name = self.name("zeros")
        self.constants[name] = numpy_helper.from_array(numpy.zeros(shape, dtype), name)
        return name

    def op(self, op: str, inputs, output: str = "", domain: str = "", **attributes) -> str:
        """Append a node with one output; returns its name."""
        output = output or self.name(op)
        self.nodes.append(helper.make_node(op, inputs, [output], self.name(op), domain=domain, **attributes))
        return output


def forward_model(program: Program, slice_splits: Collection[str] = ()) -> ModelProto:
    """The Program's ONNX file with everything that training changes as graph inputs, and its nodes rewritten.

    slice_splits: names of Split nodes to write as Slices.
    """
    model = onnx.load(program.onnx_path(), load_external_data=False)
    graph = model.graph
    changing = {*program.training.parameters, *program.training.updates}
    constants = []
    for tensor in graph.initializer:
        if tensor.name in changing:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            constants.append(_embedded(tensor, program))
    writer = Writer("forward")
    for node in graph.node:
        rewrite = _REWRITINGS.get(node.op_type) if not node.domain else None
        if node.op_type == "Split" and node.name not in slice_splits:
            rewrite = None
        _name_apart(writer, node)
        if rewrite is None or not rewrite(writer, node, program):
            writer.nodes.append(node)
    return assemble(graph.name, writer, graph.input, graph.output, constants)


def assemble(name: str, writer: Writer, inputs, outputs, constants, known=()) -> ModelProto:
    """A model of the writer's nodes and constants, stamped with what the training package can read.

    known: types of tensors in between, which some gradient operators cannot infer.
    """
    constants = [*constants, *writer.constants.values()]
    graph = helper.make_graph(writer.nodes, name, inputs, outputs, constants, value_info=known)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _embedded(tensor: onnx.TensorProto, program: Program) -> onnx.TensorProto:
    """An initializer with its bytes inside."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    result = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    result.raw_data = program.weights[tensor.name].tobytes()
    return result


def _name_apart(writer: Writer, node: NodeProto) -> None:
    """# workaround: the gradient of a node that reads one tensor twice defines one name twice, so rename a reading."""
    for position, name in enumerate(node.input):
        if name and name in node.input[:position]:
            node.input[position] = writer.op("Identity", [name])


def _attributes(node: NodeProto) -> Dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _outputs(writer: Writer, node: NodeProto, count: int) -> List[str]:
    """All outputs of a node, those that the Program does not want under names of our own."""
    given = list(node.output) + [""] * (count - len(node.output))
    return [name or writer.name(f"{node.op_type}/{i}") for i, name in enumerate(given)]


def _batch_normalization(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: the gradient needs the batch statistics, which only BatchNormInternal gives."""
    attributes = _attributes(node)
    if not attributes.get("training_mode"):
        return False
    outputs = _outputs(writer, node, 5)
    writer.nodes.append(
        helper.make_node("BatchNormInternal", node.input, outputs, node.name, domain=MICROSOFT, **attributes)
    )
    return True


def _explicit_pads(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: the gradients of convolution and pooling read auto_pad as if it were no padding."""
    attributes = _attributes(node)
    mode = attributes.pop("auto_pad", b"NOTSET")
    if mode == b"NOTSET":
        return False
    attributes.pop("pads", None)
    extents = program.tensors[node.input[0]].shape[2:]
    kernel = attributes.get("kernel_shape") or program.tensors[node.input[1]].shape[2:]
    ones = [1] * len(extents)
    if mode != b"VALID":
        results = program.tensors[node.output[0]].shape[2:]
        strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
        sizes = zip(extents, results, kernel, strides, dilations)
        totals = [max(0, (out - 1) * stride + (k - 1) * apart + 1 - size) for size, out, k, stride, apart in sizes]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        attributes["pads"] = less + more if mode == b"SAME_UPPER" else more + less
    outputs = list(node.output)
    writer.nodes.append(helper.make_node(node.op_type, node.input, outputs, node.name, **attributes))
    return True


def _all_outputs(count: int) -> Rewriting:
    """# workaround: the gradient reads the optional outputs, so they must be there."""

    def rewrite(writer: Writer, node: NodeProto, program: Program) -> bool:
        outputs = _outputs(writer, node, count)
        writer.nodes.append(helper.make_node(node.op_type, node.input, outputs, node.name, **_attributes(node)))
        return True

    return rewrite


def _average_pool(writer: Writer, node: NodeProto, program: Program) -> bool:
    if any(apart != 1 for apart in _attributes(node).get("dilations", ())):
        raise Unsupported("ONNX Runtime's gradient forgets the dilations", "AveragePool", node.name)
    return _explicit_pads(writer, node, program)


def _dropout(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: the gradient scales by the ratio even where nothing is dropped."""
    if len(node.input) < 3 and len(node.output) < 2:
        writer.op("Identity", [node.input[0]], node.output[0])
        return True
    return _all_outputs(2)(writer, node, program)


def _layer_normalization(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: the gradient wants a bias."""
    if len(node.input) < 3 or not node.input[2]:
        scale = program.tensors[node.input[1]]
        node.input.extend([""] * (3 - len(node.input)))
        node.input[2] = writer.zeros(scale.shape, scale.dtype)
    return _all_outputs(3)(writer, node, program)


def _sum(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: Sum has no gradient, Add has one."""
    *others, last = node.input
    if not others:
        writer.op("Identity", [last], node.output[0])
        return True
    total = others[0]
    for name in others[1:]:
        total = writer.op("Add", [total, name])
    writer.op("Add", [total, last], node.output[0])
    return True


def _where(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: the gradient of Where is not summed over what was broadcast, that of Expand is."""
    shape = program.tensors[node.output[0]].shape
    for position in (1, 2):
        if program.tensors[node.input[position]].shape != shape:
            extents = writer.constant(list(shape), "int64")
            node.input[position] = writer.op("Expand", [node.input[position], extents])
    return False


def _gelu(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: Gelu's gradient is that of the exact form even where the tanh approximation is asked for."""
    if _attributes(node).get("approximate", b"none") != b"tanh":
        return False
    writer.op("FastGelu", node.input, node.output[0], MICROSOFT)
    return True


def _split(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: Split's gradient forgets the outputs that the loss does not depend on."""
    axis = _attributes(node).get("axis", 0)
    start = 0
    for name in node.output:
        if name:
            shape = program.tensors[name].shape
            extent = shape[axis]
            bounds = [writer.constant([bound], "int64") for bound in (start, start + extent, axis)]
            writer.op("Slice", [node.input[0], *bounds], name)
            start += extent
    return True


def _lstm(writer: Writer, node: NodeProto, program: Program) -> bool:
    """# workaround: only LSTMTraining keeps what the gradient needs, and it wants bias and first states given."""
    attributes = _attributes(node)
    inputs = list(node.input) + [""] * (8 - len(node.input))
    _refuse_lstm(node, attributes, inputs)
    weights, batch = program.tensors[inputs[1]], program.tensors[inputs[0]].shape[1]
    directions, gates = weights.shape[0], weights.shape[1]
    state = (directions, batch, gates // 4)
    inputs[3] = inputs[3] or writer.zeros((directions, 2 * gates), weights.dtype)
    inputs[5] = inputs[5] or writer.zeros(state, weights.dtype)
    inputs[6] = inputs[6] or writer.zeros(state, weights.dtype)
    outputs = _outputs(writer, node, 5)
    writer.nodes.append(
        helper.make_node("LSTMTraining", inputs[:7], outputs, node.name, domain=MICROSOFT, hidden_size=gates // 4)
    )
    return True


def _refuse_lstm(node: NodeProto, attributes: Dict[str, object], inputs: List[str]) -> None:
    """The gradient of LSTMTraining knows the plain forward LSTM only."""
    plain = {"direction": b"forward", "layout": 0, "input_forget": 0, "clip": None}
    for key, value in plain.items():
        if attributes.get(key, value) != value:
            raise Unsupported(f"ONNX Runtime has no gradient for {key}={attributes[key]!r}", "LSTM", node.name)
    activations = attributes.get("activations", [b"Sigmoid", b"Tanh", b"Tanh"])
    if [name.lower() for name in activations] != [b"sigmoid", b"tanh", b"tanh"]:
        raise Unsupported("ONNX Runtime has no gradient for other activations", "LSTM", node.name)
    for position, what in ((4, "sequence_lens"), (7, "peepholes")):
        if inputs[position]:
            raise Unsupported(f"ONNX Runtime has no gradient for {what}", "LSTM", node.name)


_REWRITINGS: Dict[str, Rewriting] = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Dropout": _dropout,
    "Conv": _explicit_pads,
    "MaxPool": _explicit_pads,
    "AveragePool": _average_pool,
    "Sum": _sum,
    "Where": _where,
    "SoftmaxCrossEntropyLoss": _all_outputs(2),
    "Gelu": _gelu,
    "Split": _split,
    "LSTM": _lstm,
}

#: Operators whose gradient needs a rewriting, so that a trial of the operator as it stands does not find it.
REWRITTEN = set(_REWRITINGS)


def running_variances(program: Program) -> Dict[str, int]:
    """For each running variance of a training BatchNormalization: how many values a batch variance is of."""
    counts = {}
    for node in program.nodes:
        if node.op == "BatchNormalization" and node.attributes.get("training_mode"):
            shape = program.tensors[node.inputs[0]].shape
            count = 1
            for extent in (shape[0], *shape[2:]):
                count *= extent
            counts[node.inputs[4]] = count
    return counts
