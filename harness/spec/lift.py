"""From the operator set of a file to the one that adapters know, its functions inlined."""

from __future__ import annotations

from onnx import GraphProto, ModelProto, NodeProto, helper, inliner, shape_inference, version_converter

from harness.spec.model import held_as_inputs, hold_again, node_label, opset_of
from harness.spec.training_view import TRAINING_DOMAIN
from harness.spec.unsupported import UnsupportedModel

#: The operator set that older files are lifted to. What came later only adds to it.
CANONICAL_OPSET = 21

#: Until this operator set a PRelu's slope of one dimension is one number per channel; since then it is broadcast from
#: the last axis (ONNX PRelu-6, PRelu-7). The converter overlooks it.
_PRELU_BROADCASTS = 7

#: ONNX's own names of its default operator domain.
DEFAULT_DOMAINS = ("", "ai.onnx")


def lift(proto: ModelProto, where: str) -> ModelProto:
    """A model at the canonical operator set or a newer one, its functions inlined. Training information is lost."""
    if proto.functions:
        proto = _inline(proto, where)
    opset = opset_of(proto)
    if opset >= CANONICAL_OPSET:
        return proto
    if all(node.domain not in DEFAULT_DOMAINS for node in proto.graph.node):
        return _with_default_domain(proto)
    _check_liftable(proto, opset, where)
    light = held_as_inputs(proto)
    if opset < _PRELU_BROADCASTS:
        _align_slopes(light)
    try:
        lifted = version_converter.convert_version(light, CANONICAL_OPSET)
    except Exception as error:  # the converter raises RuntimeError and others from C++
        raise UnsupportedModel(
            f"{where}: cannot be lifted from opset {opset} to {CANONICAL_OPSET}: {error}",
            "Export it again at a newer operator set.",
        ) from None
    hold_again(lifted, proto)
    return lifted


def _with_default_domain(proto: ModelProto) -> ModelProto:
    """A model without any node of the default domain: there is nothing to lift."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    others = [entry for entry in proto.opset_import if entry.domain not in DEFAULT_DOMAINS]
    del copy.opset_import[:]
    copy.opset_import.extend([helper.make_opsetid("", CANONICAL_OPSET), *others])
    return copy


def _check_liftable(proto: ModelProto, opset: int, where: str) -> None:
    """Refuse what the converter stumbles over, or would get wrong: by name."""
    for node in proto.graph.node:
        if node.domain not in DEFAULT_DOMAINS and not is_gradient(node):
            raise foreign(node.domain, node.op_type, f"{where}: {node_label(node)}")
        if node.op_type == "Scan" and opset < 9:
            raise UnsupportedModel(
                f"{where}: {node_label(node)}: Scan of opset 8 works on a batch; later ones do not",
                "Export it again at opset 9 or newer.",
                operator="Scan",
            )


def is_gradient(node: NodeProto) -> bool:
    """Whether a node asks for gradients in the midst of a graph (ai.onnx.preview.training Gradient-1)."""
    return node.domain == TRAINING_DOMAIN and node.op_type == "Gradient"


def _align_slopes(proto: ModelProto) -> None:
    """Give PRelu's slopes the axes that follow the channels, so that they broadcast as they did once."""
    graph = shape_inference.infer_shapes(proto).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in [*graph.input, *graph.value_info]}
    ranks |= {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "PRelu" and ranks.get(node.input[1]) == 1 and ranks.get(node.input[0], 0) > 2:
            aligned = f"{node.output[0]}/slope"
            axes = list(range(1, ranks[node.input[0]] - 1))
            nodes.append(helper.make_node("Unsqueeze", [node.input[1]], [aligned], axes=axes))
            node.input[1] = aligned
        nodes.append(node)
    ordered = GraphProto(node=nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(ordered.node)


def foreign(domain: str, operator: str, where: str) -> UnsupportedModel:
    """The refusal of an operator of another domain."""
    return UnsupportedModel(
        f"{where}: {domain} is not ONNX's default operator domain",
        "No adapter has it: only ONNX's default operators are compared.",
        operator=f"{domain}.{operator}",
    )


def _inline(proto: ModelProto, where: str) -> ModelProto:
    light = held_as_inputs(proto)
    known = {value.name for value in [*light.graph.value_info, *light.graph.input]}
    for tensor in light.graph.initializer:
        if tensor.name not in known:
            light.graph.value_info.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    try:
        inlined = inliner.inline_local_functions(light)
    except Exception as error:  # from C++
        raise UnsupportedModel(f"{where}: its functions cannot be inlined: {error}", "Export it again.") from None
    hold_again(inlined, proto)
    return inlined
