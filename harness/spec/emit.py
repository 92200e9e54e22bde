"""The end of specialising: nodes as ONNX has them become Nodes of a Program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from harness.kit import Node, Program, Training
from harness.spec import elements
from harness.spec.known import Known
from harness.spec.steering import ELEMENT_TYPES, OPERANDS, SCALARS
from harness.spec.unsupported import UnsupportedModel


def program(
    name: str,
    known: Known,
    nodes: list[NodeProto],
    inputs: list[str],
    outputs: list[str],
    training: Training | None,
    strings: bool = False,
) -> Program:
    """The Program of visited nodes: only what its outputs need, and its outputs under their own names.

    strings: whether the adapter works on them. Weights that are strings are refused all the same.
    """
    for output in outputs:
        if known.resolve(output) in known.sequences:
            raise UnsupportedModel(
                f"{known.where}: output {output!r} is a sequence",
                "A Program's outputs are tensors.",
                _maker(known, output),
            )
    sources = [known.resolve(output) for output in outputs]
    kept = _keep_output_names(_needed_nodes(nodes, sources, known), outputs, sources, known)
    labels = _labels(kept)
    made = [_node(node, label, known) for node, label in zip(kept, labels, strict=True)]
    reads = {name for node in made for name in [*node.inputs, *node.operands.values()] if name}
    needed = reads | set(outputs)
    weights = {name: array for name, array in known.constants.items() if name in needed or name in known.changing}
    fed = [name for name in inputs if name in needed or name not in known.used]
    names = [*fed, *weights, *(name for node in made for name in node.outputs if name)]
    _check_types(made, list(weights) if strings else names, known)
    return Program(
        name=name,
        opset=known.opset,
        inputs=tuple(known.types[name] for name in fed),
        outputs=tuple(known.types[name] for name in outputs),
        initializers=tuple(known.types[name] for name in weights),
        nodes=tuple(made),
        tensors={name: known.types[name] for name in names},
        training=training,
        weights=weights,
    )


def _check_types(nodes: list[Node], names: list[str], known: Known) -> None:
    texts = {name for name in names if known.types[name].dtype == "string"}
    if texts:
        operator = next((node.op for node in nodes if texts & {*node.inputs, *node.outputs}), "")
        raise UnsupportedModel(
            f"{known.where}: {operator or 'a weight'} works on strings",
            "Frameworks are compared on numbers: prepare text before the model.",
            operator,
        )


def _reads(node: NodeProto, known: Known) -> Iterator[str]:
    """What a node reads when it runs: not the steering operands that are attributes then."""
    steering = OPERANDS.get(node.op_type, {})
    for position, name in enumerate(node.input):
        if name and not (position in steering and name in known.bound):
            yield name


def _needed_nodes(nodes: list[NodeProto], wanted: Iterable[str], known: Known) -> list[NodeProto]:
    """The nodes that the wanted tensors depend on, in the same order."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed.update(_reads(node, known))
    kept.reverse()
    return kept


def _keep_output_names(nodes: list[NodeProto], outputs: list[str], sources: list[str], known: Known) -> list[NodeProto]:
    """An output that became another name for something keeps its own: by renaming what makes it, if it can."""
    made = {name for node in nodes for name in node.output}
    renamed: dict[str, str] = {}
    bridges = []
    for name, source in zip(outputs, sources, strict=True):
        if name == source:
            continue
        known.types[name] = replace(known.types[source], name=name)
        if source in known.bound:
            known.bound[name] = known.bound[source]
        if source in made and source not in outputs and source not in renamed:
            renamed[source] = name
        elif known.is_fixed(source):
            known.constants[name] = known.constants[source]
        else:
            bridges.append(helper.make_node("Identity", [renamed.get(source, source)], [name], f"output/{name}"))
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return nodes + bridges


def _labels(nodes: list[NodeProto]) -> list[str]:
    """A name for each node, none twice: files need not have any, and bodies written out repeat theirs."""
    labels: list[str] = []
    used: set[str] = set()
    for index, node in enumerate(nodes):
        label = node.name or f"{node.op_type}_{index}"
        while label in used:
            label = f"{label}_{index}"
        used.add(label)
        labels.append(label)
    return labels


def _node(node: NodeProto, label: str, known: Known) -> Node:
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    for key in ELEMENT_TYPES & attributes.keys():
        attributes[key] = elements.name_of(attributes[key])
    inputs, operands = list(node.input), {}
    steering = OPERANDS.get(node.op_type, {})
    for position, keyword in steering.items():
        name = node.input[position] if position < len(node.input) else ""
        if name in known.bound:
            array = known.bound[name]
            array = numpy.atleast_1d(array) if keyword == "axes" else array  # some function bodies give one axis bare
            attributes[keyword] = array.reshape(-1)[0].item() if keyword in SCALARS else array.tolist()
        elif name:
            operands[keyword] = name
    inputs = [name for position, name in enumerate(inputs) if position not in steering]
    while inputs and not inputs[-1]:
        inputs.pop()
    _complete(node, attributes, known)
    return Node(
        op=node.op_type,
        name=label,
        inputs=tuple(inputs),
        outputs=tuple(node.output),
        attributes=attributes,
        operands=operands,
    )


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [item.decode() for item in value]
    return value


def _complete(node: NodeProto, attributes: dict[str, Any], known: Known) -> None:
    """Fill in what ONNX lets a file leave out and shapes tell."""
    shape = known.types[node.input[0]].shape if node.input and node.input[0] else ()
    result = next(known.types[name] for name in node.output if name)
    if node.op_type == "Slice" and "starts" in attributes and "ends" in attributes:
        axes = attributes.get("axes", list(range(len(attributes["starts"]))))
        attributes["axes"] = [axis % len(shape) for axis in axes]
        attributes.setdefault("steps", [1] * len(axes))
    if node.op_type == "Split":
        axis = attributes.get("axis", 0)
        attributes.pop("num_outputs", None)
        attributes.setdefault("split", [known.types[name].shape[axis] for name in node.output])
    if node.op_type == "Range":
        attributes["dtype"] = result.dtype
    if node.op_type in ("Conv", "ConvTranspose"):
        attributes.setdefault("kernel_shape", list(known.types[node.input[1]].shape[2:]))
    if node.op_type in ("Conv", "MaxPool", "AveragePool", "LpPool"):
        _resolve_auto_pad(attributes, shape[2:], result.shape[2:])


def _resolve_auto_pad(attributes: dict[str, Any], extents: tuple[int, ...], results: tuple[int, ...]) -> None:
    """Write `auto_pad` out as `pads` (ONNX Conv-22: SAME_UPPER puts the odd element at the end)."""
    mode = attributes.pop("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return
    kernel = attributes["kernel_shape"]
    strides = attributes.get("strides", [1] * len(kernel))
    dilations = attributes.get("dilations", [1] * len(kernel))
    totals = [0] * len(kernel)
    if mode != "VALID":
        totals = [
            max(0, (result - 1) * stride + (size - 1) * dilation + 1 - extent)
            for extent, result, size, stride, dilation in zip(extents, results, kernel, strides, dilations, strict=True)
        ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    attributes["pads"] = large + small if mode == "SAME_LOWER" else small + large


def _maker(known: Known, output: str) -> str:
    maker = known.makers.get(known.resolve(output))
    return maker.op_type if maker is not None else output
