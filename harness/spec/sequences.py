"""Sequences and optionals resolved before anything runs: each is the list of tensors it consists of, or its content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy
from onnx import NodeProto, helper

from harness.errors import HarnessError
from harness.spec.known import Known
from harness.spec.model import node_label
from harness.spec.unsupported import UnsupportedModel


def is_resolvable(node: NodeProto) -> bool:
    return node.op_type in _RULES


def resolve(node: NodeProto, known: Known) -> list[NodeProto]:
    """Settle a node of sequences or optionals; returns the nodes on tensors that it comes to.

    Raises UnsupportedModel where a position or an extent that it needs depends on data.
    """
    return list(_RULES[node.op_type](node, known))


def _members(node: NodeProto, known: Known) -> list[str]:
    name = known.resolve(node.input[0])
    if name not in known.sequences:
        raise _unresolved(node, known, f"what {name!r} consists of is not known before it runs")
    return known.sequences[name]


def _position(node: NodeProto, known: Known, members: int, default: int) -> int:
    """A position that is given as the last input; negative ones count from the end."""
    index = 2 if node.op_type == "SequenceInsert" else 1
    name = node.input[index] if index < len(node.input) else ""
    if not name:
        return default
    value = known.value(name)
    if value is None:
        raise _unresolved(node, known, "its position depends on data")
    position = int(value.reshape(()))
    if not -members <= position < members + (node.op_type == "SequenceInsert"):
        raise HarnessError(f"{known.where}: {node_label(node)}: position {position} in a sequence of {members}")
    return position % members if position < 0 else position


def _empty(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    known.sequences[node.output[0]] = []
    yield from ()


def _construct(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    known.sequences[node.output[0]] = list(node.input)
    yield from ()


def _insert(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    members = list(_members(node, known))
    members.insert(_position(node, known, len(members), len(members)), node.input[1])
    known.sequences[node.output[0]] = members
    yield from ()


def _erase(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    members = list(_members(node, known))
    del members[_position(node, known, len(members), len(members) - 1)]
    known.sequences[node.output[0]] = members
    yield from ()


def _at(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    members = _members(node, known)
    known.alias(node.output[0], members[_position(node, known, len(members), 0)])
    yield from ()


def _length(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    known.constant(node.output[0], numpy.array(len(_members(node, known)), numpy.int64))
    yield from ()


def _concat(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    given, output = _attributes(node), node.output[0]
    members = _members(node, known)
    if not members:
        raise _unresolved(node, known, "its sequence is empty")
    if given.get("new_axis"):
        known.constant(f"{output}/axis", numpy.array([given["axis"]], numpy.int64))
        for index, name in enumerate(members):
            yield helper.make_node("Unsqueeze", [name, f"{output}/axis"], [f"{output}/{index}"])
        members = [f"{output}/{index}" for index in range(len(members))]
    yield helper.make_node("Concat", members, [output], node.name, axis=given["axis"])


def _split(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    given, output = _attributes(node), node.output[0]
    shape = known.types[node.input[0]].shape
    axis = given.get("axis", 0) % len(shape)
    sizes, apart = [1] * shape[axis], not given.get("keepdims", 1)
    if len(node.input) > 1 and node.input[1]:
        value, apart = known.value(node.input[1]), False
        if value is None:
            raise _unresolved(node, known, "its sizes depend on data")
        sizes = value.tolist() if value.ndim else _chunks(shape[axis], int(value))
    pieces = [f"{output}/{index}" for index in range(len(sizes))]
    known.sequences[output] = [f"{name}/squeezed" for name in pieces] if apart else pieces
    if len(sizes) == 1 and not apart:
        known.sequences[output] = [node.input[0]]
        return
    known.constant(f"{output}/split", numpy.array(sizes, numpy.int64))
    known.constant(f"{output}/axis", numpy.array([axis], numpy.int64))
    if pieces:
        yield helper.make_node("Split", [node.input[0], f"{output}/split"], pieces, node.name, axis=axis)
    for name in pieces if apart else []:
        yield helper.make_node("Squeeze", [name, f"{output}/axis"], [f"{name}/squeezed"])


def _chunks(extent: int, size: int) -> list[int]:
    """Pieces of one size, the last one smaller where it does not divide the extent."""
    return [min(size, extent - begin) for begin in range(0, extent, size)]


def _content(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    """Optional(x) and OptionalGetElement(x) are names for x."""
    if not node.input or not node.input[0]:
        raise _unresolved(node, known, "an optional without content")
    known.alias(node.output[0], node.input[0])
    yield from ()


def _has_content(node: NodeProto, known: Known) -> Iterator[NodeProto]:
    known.constant(node.output[0], numpy.array(bool(node.input and node.input[0])))
    yield from ()


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: attribute.i for attribute in node.attribute}


def _unresolved(node: NodeProto, known: Known, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{known.where}: {node_label(node)}: {why}",
        "Only sequences that can be resolved into tensors before they run are supported.",
        operator=node.op_type,
    )


_RULES: dict[str, Callable[[NodeProto, Known], Iterator[NodeProto]]] = {
    "SequenceEmpty": _empty,
    "SequenceConstruct": _construct,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
    "SplitToSequence": _split,
    "Optional": _content,
    "OptionalGetElement": _content,
    "OptionalHasElement": _has_content,
}
