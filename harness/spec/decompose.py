"""Rewrite an operator into simpler ones, for adapters that lack it: by ONNX's own function body of it."""

from __future__ import annotations

from typing import Any

from onnx import FunctionProto, NodeProto, TypeProto

from harness.spec.renaming import instantiate


def function_body(schema: Any, node: NodeProto, opset: int, types: list[TypeProto], prefix: str) -> list[NodeProto]:
    """The nodes of an operator's ONNX function body in place of a call of it; empty where it has none.

    schema: the operator's `onnx.defs.OpSchema` (its stubs leave out what is used here). opset: of the operator's
    domain. types: of the node's inputs. prefix: makes the names of inner tensors unique.
    """
    body = _body(schema, node, opset, types)
    if body is None:
        return []
    names = dict(zip(body.input, [*node.input, *[""] * len(body.input)], strict=False))
    names |= {inner: outer for inner, outer in zip(body.output, node.output, strict=False) if outer}
    defaults = [attribute.default_value for attribute in schema.attributes.values() if attribute.default_value.name]
    given = {attribute.name: attribute for attribute in (*defaults, *body.attribute_proto, *node.attribute)}
    return instantiate(body.node, names, prefix, given)


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
