"""Rewrite an operator into simpler ones, for adapters that lack it: by ONNX's own function body of it."""

from __future__ import annotations

from typing import Any

from onnx import AttributeProto, FunctionProto, NodeProto, TypeProto


def function_body(schema: Any, node: NodeProto, opset: int, types: list[TypeProto], prefix: str) -> list[NodeProto]:
    """The nodes of an operator's ONNX function body in place of a call of it; empty where it has none.

    schema: the operator's `onnx.defs.OpSchema` (its stubs leave out what is used here). types: of the node's inputs.
    prefix: makes the names of inner tensors unique.
    """
    body = _body(schema, node, opset, types)
    if body is None:
        return []
    defaults = [attribute.default_value for attribute in schema.attributes.values() if attribute.default_value.name]
    return _instantiate(body, node, defaults, prefix)


def _body(schema: Any, node: NodeProto, opset: int, types: list[TypeProto]) -> FunctionProto | None:
    """The newest body that this operator set can have; some are made for the node at hand."""
    result = FunctionProto()
    fixed = [version for version in schema.function_opset_versions if version <= opset]
    if fixed:
        result.ParseFromString(schema.get_function_with_opset_version(max(fixed)))
        return result
    made = [version for version in schema.context_dependent_function_opset_versions if version <= opset]
    if not made:
        return None
    serialized = [kind.SerializeToString() for kind in types]
    body = schema.get_context_dependent_function_with_opset_version(max(made), node.SerializeToString(), serialized)
    result.ParseFromString(body)
    return result if body else None


def _instantiate(body: FunctionProto, node: NodeProto, defaults: list[AttributeProto], prefix: str) -> list[NodeProto]:
    """A body's nodes with formal names replaced by actual ones, and attributes passed on."""
    names = dict(zip(body.input, [*node.input, *[""] * len(body.input)], strict=False))
    names |= {inner: outer for inner, outer in zip(body.output, node.output, strict=False) if outer}
    given = {attribute.name: attribute for attribute in (*defaults, *body.attribute_proto, *node.attribute)}
    result = []
    for inner in body.node:
        copy = NodeProto()
        copy.CopyFrom(inner)
        copy.input[:] = [names.setdefault(name, prefix + name) if name else "" for name in inner.input]
        copy.output[:] = [names.setdefault(name, prefix + name) if name else "" for name in inner.output]
        copy.name = f"{prefix}{inner.name or inner.op_type}"
        del copy.attribute[:]
        copy.attribute.extend(_passed_on(inner, given))
        result.append(copy)
    return result


def _passed_on(inner: NodeProto, given: dict[str, AttributeProto]) -> list[AttributeProto]:
    """A body node's attributes; those that refer to an attribute of the call take its value, or are left out."""
    attributes = []
    for attribute in inner.attribute:
        if not attribute.ref_attr_name:
            attributes.append(attribute)
        elif attribute.ref_attr_name in given:
            passed = AttributeProto()
            passed.CopyFrom(given[attribute.ref_attr_name])
            passed.name = attribute.name
            attributes.append(passed)
    return attributes
