"""Copy the nodes of a body (of a function, a branch, an iteration) to another place: fresh names, no clashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import AttributeProto, GraphProto, NodeProto

Attributes = Mapping[str, AttributeProto]


def instantiate(
    nodes: Iterable[NodeProto], names: dict[str, str], prefix: str, given: Attributes | None = None
) -> list[NodeProto]:
    """Copies of a body's nodes.

    names: what the body's formal inputs, outputs and initializers are called here; every other name that the body
    makes gets the prefix and is added to it. A name that the body neither makes nor is given is captured from outside
    and stays. given: attributes of a function's call, for those in its body that refer to them.
    """
    nodes = list(nodes)
    for node in nodes:
        for name in filter(None, node.output):
            names.setdefault(name, prefix + name)
    return [_copy(node, names, prefix, given) for node in nodes]


def _copy(node: NodeProto, names: Mapping[str, str], prefix: str, given: Attributes | None) -> NodeProto:
    copy = NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
    copy.name = f"{prefix}{node.name or node.op_type}"
    copy.input.extend(names.get(name, name) for name in node.input)
    copy.output.extend(names.get(name, name) for name in node.output)
    for attribute in node.attribute:
        passed = _passed_on(attribute, given)
        if passed is None:
            continue
        copy.attribute.append(passed)
        for body in [copy.attribute[-1].g] if passed.HasField("g") else copy.attribute[-1].graphs:
            _rename_inside(body, names, given)
    return copy


def _passed_on(attribute: AttributeProto, given: Attributes | None) -> AttributeProto | None:
    """An attribute of a body's node; one that refers to an attribute of the call takes its value, or is left out."""
    if not attribute.ref_attr_name or given is None:
        return attribute
    if attribute.ref_attr_name not in given:
        return None
    passed = AttributeProto()
    passed.CopyFrom(given[attribute.ref_attr_name])
    passed.name = attribute.name
    return passed


def _rename_inside(graph: GraphProto, names: Mapping[str, str], given: Attributes | None) -> None:
    """Rename what a nested graph takes from outside; its own names are renamed when it is instantiated itself."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own.update(name for node in graph.node for name in node.output)
    outer = {name: new for name, new in names.items() if name not in own}
    copies = [_copy(node, outer, "", given) for node in graph.node]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.value_info[:]
    for value in graph.output:
        value.name = outer.get(value.name, value.name)
