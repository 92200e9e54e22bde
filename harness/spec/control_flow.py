"""Control flow made static: an If becomes the branch it takes, a Loop or Scan its iterations one after another.

Each iteration is visited like any other nodes before the next is made: so its condition may become constant on the
way, and what is carried may change its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy
from onnx import GraphProto, NodeProto, helper, numpy_helper

from harness.errors import HarnessError
from harness.spec.known import Known
from harness.spec.model import node_label
from harness.spec.renaming import instantiate
from harness.spec.unsupported import UnsupportedModel

#: A Loop or Scan of more iterations is refused: unrolled, it would be no model that anybody runs.
MAX_ITERATIONS = 1024


def begin(node: NodeProto, known: Known, prefix: str) -> list[Step]:
    """The first steps in place of an If, Loop or Scan. prefix: makes the names inside it unique.

    Raises UnsupportedModel where the flow depends on data.
    """
    if node.op_type == "If":
        return _branch(node, known, prefix)
    return [Loop(node, known, prefix) if node.op_type == "Loop" else Scan(node, known, prefix)]


def _branch(node: NodeProto, known: Known, prefix: str) -> list[Step]:
    condition = known.value(node.input[0])
    if condition is None:
        raise _refused(node, known, "its condition depends on data")
    body = _graph(node, "then_branch" if condition.any() else "else_branch")
    nodes, results = _inlined(body, [], known, prefix)
    return [*nodes, *_named(results, node.output)]


class Unrolled:
    """A Loop or Scan that has come to some iteration. carried: its state, by name. scanned: per output, a name each."""

    def __init__(self, node: NodeProto, known: Known, prefix: str, states: Sequence[str]):
        self.node, self.known, self.prefix = node, known, prefix
        self.body = _graph(node, "body")
        self.carried = list(states)
        self.scanned: list[list[str]] = [[] for _ in node.output[len(states) :]]
        self.iteration = 0

    def steps(self) -> list[Step]:
        """The next iteration and what follows it, or the end."""
        if self.has_ended():
            return list(self._end())
        if self.iteration >= MAX_ITERATIONS:
            raise _refused(self.node, self.known, f"more than {MAX_ITERATIONS:,} iterations, the limit of unrolling")
        prefix = f"{self.prefix}{self.iteration}/"
        before, inputs = self.inputs(prefix)
        nodes, results = _inlined(self.body, inputs, self.known, prefix)
        self.take(results)
        self.iteration += 1
        return [*before, *nodes, self]

    def has_ended(self) -> bool:
        raise NotImplementedError

    def inputs(self, prefix: str) -> tuple[list[NodeProto], list[str]]:
        """Nodes that prepare an iteration, and the names that its body's inputs have."""
        raise NotImplementedError

    def take(self, results: list[str]) -> None:
        """What an iteration made: the state, and one more of each scanned output."""
        states = len(self.carried)
        self.carried = results[:states]
        for names, name in zip(self.scanned, results[states:], strict=False):
            names.append(name)

    def stacked(self, index: int) -> tuple[int, bool]:
        """Along which axis a scanned output is stacked, and whether backwards."""
        return 0, False

    def _end(self) -> Iterator[NodeProto]:
        states = len(self.carried)
        yield from _named(self.carried, self.node.output)
        for index, (names, output) in enumerate(zip(self.scanned, self.node.output[states:], strict=True)):
            if not output:
                continue
            axis, backwards = self.stacked(index)
            if not names:
                self._no_iteration(output, self.body.output[len(self.body.output) - len(self.scanned) + index])
                continue
            self.known.constant(f"{output}/axis", numpy.array([axis], numpy.int64))
            rows = [f"{output}/{i}" for i in range(len(names))] if len(names) > 1 else [output]
            for name, row in zip(names, rows, strict=True):
                yield helper.make_node("Unsqueeze", [name, f"{output}/axis"], [row])
            if len(names) > 1:
                yield helper.make_node("Concat", rows[::-1] if backwards else rows, [output], axis=axis)

    def _no_iteration(self, output: str, declared: Any) -> None:
        kind = declared.type.tensor_type
        if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
            raise _refused(self.node, self.known, f"no iteration, and no shape declared for {output!r}")
        shape = (0, *(dim.dim_value for dim in kind.shape.dim))
        self.known.constant(output, numpy.zeros(shape, helper.tensor_dtype_to_np_dtype(kind.elem_type)))


class Loop(Unrolled):
    """inputs of the node: trip count, condition, states; of its body: iteration, condition, states."""

    def __init__(self, node: NodeProto, known: Known, prefix: str):
        super().__init__(node, known, prefix, node.input[2:])
        self.trips: int | None = None
        if node.input[0]:
            trips = known.value(node.input[0])
            if trips is None:
                raise _refused(node, known, "its trip count depends on data")
            self.trips = int(trips.reshape(()))
        self.condition = node.input[1]
        if not self.condition:
            self.condition = f"{prefix}condition"
            known.constant(self.condition, numpy.array(True))

    def has_ended(self) -> bool:
        if self.trips is not None and self.iteration >= self.trips:
            return True
        condition = self.known.value(self.condition)
        if condition is None:
            raise _refused(self.node, self.known, "its condition depends on data")
        return not condition.any()

    def inputs(self, prefix: str) -> tuple[list[NodeProto], list[str]]:
        self.known.constant(f"{prefix}iteration", numpy.array(self.iteration, numpy.int64))
        return [], [f"{prefix}iteration", self.condition, *self.carried]

    def take(self, results: list[str]) -> None:
        self.condition = results[0]
        super().take(results[1:])


class Scan(Unrolled):
    """inputs of the node: states, scanned tensors; of its body: states, a slice of each scanned tensor."""

    def __init__(self, node: NodeProto, known: Known, prefix: str):
        self.given = {attribute.name: attribute for attribute in node.attribute}
        count = self.given["num_scan_inputs"].i
        super().__init__(node, known, prefix, node.input[: len(node.input) - count])
        self.sources = list(node.input[len(node.input) - count :])
        self.axes = [self._of(self._list("scan_input_axes"), i, 0) for i in range(count)]
        extents = {
            known.types[name].shape[axis % len(known.types[name].shape)]
            for name, axis in zip(self.sources, self.axes, strict=True)
        }
        if len(extents) != 1:
            raise HarnessError(f"{known.where}: {node_label(node)}: its inputs have different lengths: {extents}")
        self.length = extents.pop()
        if self.length > MAX_ITERATIONS:
            raise _refused(node, known, f"{self.length:,} iterations; {MAX_ITERATIONS:,} is the limit of unrolling")

    def has_ended(self) -> bool:
        return self.iteration >= self.length

    def inputs(self, prefix: str) -> tuple[list[NodeProto], list[str]]:
        nodes, names = [], []
        for index, (source, axis) in enumerate(zip(self.sources, self.axes, strict=True)):
            backwards = self._of(self._list("scan_input_directions"), index, 0)
            place = self.length - 1 - self.iteration if backwards else self.iteration
            self.known.constant(f"{prefix}place{index}", numpy.array(place, numpy.int64))
            names.append(f"{prefix}slice{index}")
            nodes.append(helper.make_node("Gather", [source, f"{prefix}place{index}"], names[-1:], axis=axis))
        return nodes, [*self.carried, *names]

    def stacked(self, index: int) -> tuple[int, bool]:
        directions, axes = self._list("scan_output_directions"), self._list("scan_output_axes")
        return self._of(axes, index, 0), bool(self._of(directions, index, 0))

    def _list(self, attribute: str) -> list[int]:
        return list(self.given[attribute].ints) if attribute in self.given else []

    @staticmethod
    def _of(values: list[int], index: int, default: int) -> int:
        return values[index] if index < len(values) else default


#: A node to visit, or a Loop or Scan to go on with.
Step = NodeProto | Unrolled


def _inlined(body: GraphProto, inputs: list[str], known: Known, prefix: str) -> tuple[list[NodeProto], list[str]]:
    """A body's nodes for some inputs, and the names that its outputs have."""
    names = {value.name: name for value, name in zip(body.input, inputs, strict=True)}
    for tensor in body.initializer:
        names[tensor.name] = prefix + tensor.name
        known.constant(names[tensor.name], numpy_helper.to_array(tensor))
    nodes = instantiate(body.node, names, prefix)
    return nodes, [names.get(value.name, value.name) for value in body.output]


def _named(names: Sequence[str], outputs: Sequence[str]) -> list[NodeProto]:
    return [
        helper.make_node("Identity", [name], [output]) for name, output in zip(names, outputs, strict=False) if output
    ]


def _graph(node: NodeProto, attribute: str) -> GraphProto:
    body: GraphProto = next(entry.g for entry in node.attribute if entry.name == attribute)
    return body


def _refused(node: NodeProto, known: Known, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{known.where}: {node_label(node)}: {why}",
        "Only control flow that is constant once shapes are bound can be compared. An input that is a setting and not "
        "data (a sampling rate) becomes a constant by --value NAME=NUMBER.",
        operator=node.op_type,
    )
