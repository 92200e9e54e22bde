"""The forward graph of a training Program, as ONNX Runtime's gradient builder can differentiate it."""

from __future__ import annotations

from typing import Collection, Dict, Tuple

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from ..kit.arrays import element_count
from ..kit.program import Program
from .rewritings import REWRITINGS
from .writer import Writer, assemble


def forward_model(program: Program, wrong_splits: Collection[Tuple[str, ...]] = ()) -> ModelProto:
    """The Program's ONNX file with everything that training changes as graph inputs, and its nodes rewritten.

    wrong_splits: outputs of the Split nodes whose gradient is wrong, so that they must be rewritten too.
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
        _name_apart(writer, node)
        kept = node.domain or node.op_type == "Split" and tuple(node.output) not in wrong_splits
        rewrite = None if kept else REWRITINGS.get(node.op_type)
        if rewrite is None or not rewrite(writer, node, program):
            writer.nodes.append(node)
    return assemble(graph.name, writer, graph.input, graph.output, constants)


def running_variances(program: Program) -> Dict[str, int]:
    """For each running variance that training updates: how many values a batch variance is of."""
    counts = {}
    for node in program.nodes:
        if node.op == "BatchNormalization" and node.inputs[4] in program.training.updates:
            batch, _, *extents = program.tensors[node.inputs[0]].shape
            counts[node.inputs[4]] = element_count([batch, *extents])
    return counts


def _embedded(tensor: TensorProto, program: Program) -> TensorProto:
    """An initializer with its bytes inside."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return tensor
    result = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    result.raw_data = program.weights[tensor.name].tobytes()
    return result


# workaround: the gradient of a node that reads one tensor twice defines one name twice, so the second is renamed
def _name_apart(writer: Writer, node: NodeProto) -> None:
    for position, name in enumerate(node.input):
        if name and name in node.input[:position]:
            node.input[position] = writer.op("Identity", [name])
