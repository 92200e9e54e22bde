"""ONNX graphs written node by node, for the training package."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence

import numpy
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

#: The domain of ONNX Runtime's own operators.
MICROSOFT = "com.microsoft"

# workaround: the training package reads no newer operator set and file version than these, so a newer file is
# relabelled. What came after operator set 21 only added to it; what a file uses of that, the session then refuses.
OPSET, IR_VERSION = 21, 10


class Writer:
    """Collects nodes and constants, with names of their own, below a prefix, for what the Program does not name."""

    def __init__(self, prefix: str, nodes: Iterable[NodeProto] = ()):
        self.nodes: List[NodeProto] = list(nodes)
        self.constants: Dict[str, TensorProto] = {}
        self._prefix = prefix
        self._count = 0

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{self._prefix}/{stem}/{self._count}"

    def constant(self, value: Any, dtype: str) -> str:
        """The name of a small constant; the same value is stored once."""
        array = numpy.array(value, dtype)
        name = f"{self._prefix}/constant/{dtype}/{list(array.shape)}/{array.tobytes().hex()}"
        self.constants.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def zeros(self, shape: Sequence[int], dtype: str) -> str:
        name = self.name("zeros")
        self.constants[name] = numpy_helper.from_array(numpy.zeros(shape, dtype), name)
        return name

    def op(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append a node with one output; returns its name."""
        output = output or self.name(op)
        self.node(op, inputs, [output], self.name(op), **attributes)
        return output

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any) -> None:
        """Append a node. Attributes are ONNX's, and `domain`."""
        self.nodes.append(helper.make_node(op, inputs, outputs, name, **attributes))


def assemble(
    name: str,
    writer: Writer,
    inputs: Iterable[ValueInfoProto],
    outputs: Iterable[ValueInfoProto],
    constants: Iterable[TensorProto],
    known: Iterable[ValueInfoProto] = (),
) -> ModelProto:
    """A model of the writer's nodes and constants, stamped with what the training package can read.

    known: types of tensors in between, which some gradient operators cannot infer.
    """
    constants = [*constants, *writer.constants.values()]
    graph = helper.make_graph(writer.nodes, name, inputs, outputs, constants, value_info=known)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
