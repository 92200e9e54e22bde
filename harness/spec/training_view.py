"""A read-only view of one or two ONNX graphs as one: what stands where, who makes what, what needs what.

The training graph of an ONNX file is the concatenation of `ModelProto.graph` and `TrainingInfoProto.algorithm`;
this view is that concatenation without a copy of a single weight.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, numpy_helper

from harness.errors import HarnessError

#: The domain of Gradient, Momentum, Adam and Adagrad.
TRAINING_DOMAIN = "ai.onnx.preview.training"

FLOATS = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of an If, Loop, Scan, ...: the graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def reads(node: NodeProto) -> list[str]:
    """Every tensor a node needs: its inputs, and what its subgraphs take from the graph around them."""
    names = [name for name in node.input if name]
    for body in subgraphs(node):
        names.extend(_captured(body))
    return names


def _captured(body: GraphProto) -> list[str]:
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own.update(tensor.values.name for tensor in body.sparse_initializer)
    own.update(name for node in body.node for name in node.output)
    wanted = [name for node in body.node for name in reads(node)] + [value.name for value in body.output]
    return [name for name in wanted if name not in own]


def label(node: NodeProto) -> str:
    """A node as an error message names it."""
    return f"{node.op_type} ({node.name or ', '.join(node.output)})"


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


class View:
    """The concatenation of graphs.

    nodes: in file order. initializers: dense ones, by name; sparse: sparse ones, by name.
    inputs: names of graph inputs that have no initializer. producer: the node that makes a tensor.
    """

    def __init__(self, *graphs: GraphProto):
        self.graphs = graphs
        self.nodes: list[NodeProto] = [node for graph in graphs for node in graph.node]
        self.initializers: dict[str, TensorProto] = {t.name: t for graph in graphs for t in graph.initializer}
        self.sparse: dict[str, SparseTensorProto] = {
            t.values.name: t for graph in graphs for t in graph.sparse_initializer
        }
        fed = [value.name for graph in graphs for value in graph.input]
        self.inputs = [name for name in fed if name not in self.initializers and name not in self.sparse]
        self.producer: dict[str, NodeProto] = {name: node for node in self.nodes for name in node.output if name}

    def needed(self, *targets: str) -> set[str]:
        """The names of all tensors that the targets are computed from, the targets included."""
        found: set[str] = set()
        waiting = list(targets)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            if name in self.producer:
                waiting.extend(reads(self.producer[name]))
        return found

    def made_from(self, sources: set[str]) -> set[str]:
        """The names of all tensors that are made from any of the sources, which are included. Wants nodes in order."""
        found = set(sources)
        for node in self.nodes:
            if not found.isdisjoint(reads(node)):
                found.update(filter(None, node.output))
        return found

    def dims(self, name: str) -> tuple[int, ...]:
        """The shape of an initializer."""
        return tuple((self.sparse[name] if name in self.sparse else self.initializers[name]).dims)

    def dtype(self, name: str) -> int:
        """The element type of an initializer, as a TensorProto.DataType."""
        return (self.sparse[name].values if name in self.sparse else self.initializers[name]).data_type

    def is_initializer(self, name: str) -> bool:
        return name in self.initializers or name in self.sparse

    def constant(self, name: str) -> numpy.ndarray | None:
        """The value of a tensor that is a dense initializer or comes from Constant, ConstantOfShape or Identity.

        None for anything else, and for a tensor whose data lies outside of the file or is damaged.
        """
        filled: numpy.ndarray | None = None
        for _ in range(len(self.nodes) + 1):
            node = self.producer.get(name)
            if name in self.initializers:
                value = array_of(self.initializers[name])
            elif node is None or node.domain not in ("", "ai.onnx"):
                return None
            elif node.op_type == "Constant":
                value = _constant_value(attributes(node))
            elif node.op_type == "Identity" or (node.op_type == "ConstantOfShape" and filled is None):
                if node.op_type == "ConstantOfShape":
                    given = attributes(node).get("value")
                    filled = array_of(given) if given is not None else numpy.zeros(1, numpy.float32)
                    if filled is None or filled.size != 1:
                        return None
                name = node.input[0]
                continue
            else:
                return None
            return value if filled is None else _filled(filled, value)
        return None

    def check_names(self, source: str) -> None:
        """Every tensor is made once and before it is used. Raises HarnessError."""
        known: set[str] = {""}
        for graph in self.graphs:
            for value in graph.input:
                self._declare(value.name, known, source, "is an input")
            own_inputs = {value.name for value in graph.input}
            for name in [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]:
                if name not in own_inputs:
                    self._declare(name, known, source, "is an initializer")
            for node in graph.node:
                for name in reads(node):
                    if name not in known:
                        raise self._unknown(name, node, source)
                for name in node.output:
                    if name:
                        self._declare(name, known, source, f"is an output of {label(node)}")

    @staticmethod
    def _declare(name: str, known: set[str], source: str, how: str) -> None:
        if not name or name in known:
            raise HarnessError(
                f"{source}: tensor {name!r} {how}, but there is another tensor of that name",
                "The model's graph and the training algorithm are one graph: every tensor needs a name of its own.",
            )
        known.add(name)

    def _unknown(self, name: str, node: NodeProto, source: str) -> HarnessError:
        if name not in self.producer:
            return HarnessError(
                f"{source}: {label(node)} reads {name!r}, which nothing makes",
                "Every input of a node is an input, an initializer or the output of an earlier node.",
            )
        waits = {id(n): {id(self.producer[r]) for r in reads(n) if r in self.producer} for n in self.nodes}
        try:
            graphlib.TopologicalSorter(waits).prepare()
        except graphlib.CycleError as error:
            by_id = {id(n): n for n in self.nodes}
            chain = " <- ".join(label(by_id[i]) for i in error.args[1][:6])
            return HarnessError(f"{source}: the nodes form a cycle: {chain}", "No order of execution exists; mend it.")
        return HarnessError(
            f"{source}: {label(node)} reads {name!r} before {label(self.producer[name])} makes it",
            "ONNX wants nodes in an order of execution, the model's graph before the training algorithm: sort them.",
        )


def array_of(tensor: TensorProto) -> numpy.ndarray | None:
    """The values of a tensor, or None where they lie in another file or are not what the tensor says."""
    if tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError):
        return None


def _filled(value: numpy.ndarray, shape: numpy.ndarray | None) -> numpy.ndarray | None:
    """A view of one value in a shape, which costs nothing however large it is."""
    if shape is None or shape.ndim != 1 or shape.dtype != numpy.int64 or (shape < 0).any():
        return None
    return numpy.broadcast_to(value.reshape(()), tuple(shape.tolist()))


def _constant_value(given: dict[str, Any]) -> numpy.ndarray | None:
    kinds: dict[str, type] = {"value_float": numpy.float32, "value_floats": numpy.float32}
    kinds.update(value_int=numpy.int64, value_ints=numpy.int64)
    for key, value in given.items():
        if isinstance(value, TensorProto):
            return array_of(value)
        if key in kinds:
            return numpy.asarray(value, kinds[key])
    return None


def unique(name: str, taken: set[str]) -> str:
    """`name`, or the first of name_2, name_3, ... that is not taken; it is taken from now on."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def all_names(graph: GraphProto) -> set[str]:
    """Every tensor name in a graph, those of subgraphs included."""
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    names.update(t.name for t in graph.initializer)
    names.update(t.values.name for t in graph.sparse_initializer)
    for node in graph.node:
        names.update(node.output)
        for body in subgraphs(node):
            names |= all_names(body)
    return names


def mentioned(names: Iterable[str], limit: int = 5) -> str:
    """A few names for a message."""
    names = list(names)
    listed = ", ".join(repr(name) for name in names[:limit])
    return f"{listed} and {len(names) - limit} more" if len(names) > limit else listed
