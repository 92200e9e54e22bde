"""From a Model to one static Program: shapes bound, constants folded, functions inlined, one operator set.

One walk over the graph does it all, in time linear in its nodes: each node is folded away, rewritten into simpler
ones, or given its concrete output types, when its inputs are known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy
import onnx
from onnx import ModelProto, NodeProto, defs, helper, numpy_helper

from harness.errors import HarnessError
from harness.kit import Program, Tensor, Training
from harness.spec import control_flow, elements, emit, sequences
from harness.spec import training as recipes
from harness.spec.control_flow import Step, Unrolled
from harness.spec.decompose import function_body
from harness.spec.inference import infer
from harness.spec.known import Known
from harness.spec.lift import DEFAULT_DOMAINS, foreign, is_gradient, lift
from harness.spec.model import MAX_NODES, Model, fed_inputs, is_held, node_label, opset_of
from harness.spec.rules import rule_for
from harness.spec.unsupported import UnsupportedModel

__all__ = ["DEFAULT_EXTENT", "Specialised", "UnsupportedModel", "lift", "specialise"]

#: Extent of an input axis that is free, is not the batch, and was not given.
DEFAULT_EXTENT = 128

_CONTROL = {"If", "Loop", "Scan"}

#: Operators that are always replaced by their ONNX function body: of sequences, which no Program has.
_ALWAYS_REWRITTEN = {"SequenceMap"}


#: Operators of strings alone: an adapter that has any of them works on strings.
_ON_STRINGS = {"StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch"}


@dataclass(frozen=True)
class Specialised:
    """A Program and how it came about.

    bound: the free dimensions and what they became. rewritten: {operator: "function body" or "rule"} for operators
    that were rewritten because the adapter lacks them.
    """

    program: Program
    bound: dict[str, int]
    rewritten: dict[str, str] = field(default_factory=dict)


def specialise(
    model: Model,
    purpose: str = "infer",
    batch: int | None = None,
    shapes: dict[str, int] | None = None,
    operators: Collection[str] | None = None,
    values: Mapping[str, numpy.ndarray] | None = None,
) -> Specialised:
    """Make the static Program of a model.

    purpose: "infer", or "train" for the forward graph of its training recipe. batch: the extent of the inputs' free
    first axis, 1 where it is not given. shapes: extents of other free axes by their name. operators: what the adapter
    lowers itself; others are replaced by their ONNX function body, or by a rule, where there is one. values: arrays for
    inputs; what steers (the shape of a Reshape, a trip count) is bound to the value that it has for them, as by any
    tracing framework; what is computed stays in the Program.

    Raises HarnessError for a wrong shape or a model without a recipe, UnsupportedModel where no Program can be made.
    """
    where = str(model.path)
    proto, training = _graph_for(model, purpose, where)
    proto = lift(proto, where)
    walk = _Walk(model, proto, training, where, operators, values or {})
    bound = _bind_inputs(walk, proto, batch, dict(shapes or {}))
    walk.run()
    outputs = [value.name for value in proto.graph.output]
    strings = not _ON_STRINGS.isdisjoint(operators or ())
    program = emit.program(model.name, walk.known, walk.nodes, walk.inputs, outputs, training, strings)
    return Specialised(program, bound, walk.rewritten)


def _graph_for(model: Model, purpose: str, where: str) -> tuple[ModelProto, Training | None]:
    if purpose == "infer":
        return recipes.strip(model.proto), None
    recipe = recipes.read(model.proto, where)
    if recipe is None:
        raise HarnessError(
            f"{where}: it has no training recipe",
            "`harness model train FILE --loss ... --optimizer ... --output NEW` writes a copy that has one.",
        )
    return recipes.forward(model.proto, recipe)


def _bind_inputs(walk: _Walk, proto: ModelProto, batch: int | None, shapes: dict[str, int]) -> dict[str, int]:
    """Give every graph input a concrete shape; returns what each free dimension became."""
    inputs = fed_inputs(proto.graph)
    batch_names = {value.type.tensor_type.shape.dim[0].dim_param for value in inputs if _rank(value)} - {""}
    bound: dict[str, int] = {}
    known: set[str] = set()
    leading: set[int] = set()
    for value in inputs:
        if value.type.WhichOneof("value") != "tensor_type":
            raise _not_a_tensor(value.name, walk, proto)
        extents = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            name = dim.dim_param or f"{value.name}.{axis}"
            known.add(name)
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                extents.append(dim.dim_value)
                continue
            is_batch = axis == 0 or dim.dim_param in batch_names
            default = (batch or 1) if is_batch else DEFAULT_EXTENT
            extents.append(shapes.get(name, _given_extent(walk, value.name, axis, default)))
            bound[name] = extents[-1]
        leading.update(extents[:1])
        walk.declare_input(value.name, value.type.tensor_type.elem_type, extents)
    _check_asked(walk.known.where, batch, leading, set(shapes) - known, bound)
    return bound


def _given_extent(walk: _Walk, name: str, axis: int, default: int) -> int:
    shape = numpy.shape(walk.known.given[name]) if name in walk.known.given else ()
    return shape[axis] if axis < len(shape) else default


def _not_a_tensor(name: str, walk: _Walk, proto: ModelProto) -> UnsupportedModel:
    reader = next((node.op_type for node in proto.graph.node if name in node.input), name)
    return UnsupportedModel(
        f"{walk.known.where}: {reader} reads the input {name!r}, which is not a tensor",
        "A Program's inputs are tensors: no framework is fed a sequence.",
        operator=reader,
    )


def _check_asked(where: str, batch: int | None, leading: set[int], unknown: set[str], bound: dict[str, int]) -> None:
    if unknown:
        raise HarnessError(
            f"{where}: it has no dimension {min(unknown)!r}", f"Its free dimensions: {', '.join(bound) or 'none'}"
        )
    if batch is not None and leading and batch not in leading:
        raise HarnessError(
            f"{where}: its first axis is fixed at {min(leading)}; a batch of {batch} was asked for",
            "Ask for that batch, or export the model with a free batch dimension.",
        )


def _rank(value: onnx.ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)


class _Walk:
    """The one walk over the graph: what is known so far, and the nodes that are left."""

    def __init__(
        self,
        model: Model,
        proto: ModelProto,
        training: Training | None,
        where: str,
        operators: Collection[str] | None,
        values: Mapping[str, numpy.ndarray],
    ):
        changing = {*training.parameters, *training.updates} if training else set()
        self.known = Known(where, opset_of(proto), changing, values)
        self.graph, self.operators = proto.graph, operators
        self.imports = list(proto.opset_import)
        self.inputs: list[str] = []
        self.nodes: list[NodeProto] = []
        self.rewritten: dict[str, str] = {}
        self._bodies: set[str] = set()
        self._visited = 0
        for tensor in proto.graph.initializer:
            array = model.weights[tensor.name] if is_held(tensor) else numpy_helper.to_array(tensor)
            kind = Tensor(tensor.name, elements.name_of(tensor.data_type), tuple(tensor.dims))
            self.known.types[tensor.name], self.known.constants[tensor.name] = kind, array

    def declare_input(self, name: str, element_type: int, shape: list[int]) -> None:
        self.inputs.append(name)
        self.known.types[name] = Tensor(name, elements.name_of(element_type), tuple(shape))

    def run(self) -> None:
        waiting: deque[Step] = deque(self.graph.node)
        while waiting:
            step = waiting.popleft()
            following = step.steps() if isinstance(step, Unrolled) else self._visit(self._renamed(step))
            waiting.extendleft(reversed(following))

    def _visit(self, node: NodeProto) -> list[Step]:
        """Settle one node; what it was rewritten into is visited next."""
        self._count(node)
        known = self.known
        known.makers.update((name, node) for name in node.output)
        if self._pass_through(node):
            return []
        if sequences.is_resolvable(node):
            return [*sequences.resolve(node, known)]
        if known.fold(node):
            return []
        if node.op_type in _CONTROL:
            return control_flow.begin(node, known, f"{node.op_type}_{self._visited}/")
        if is_gradient(node) and "Gradient" in (self.operators or ()):
            self._differentiate(node)
            return []
        body = self._simpler(node)
        if body:
            return [*body]
        if node.domain not in DEFAULT_DOMAINS:
            raise foreign(node.domain, node.op_type, f"{known.where}: {node_label(node)}")
        known.bind_operands(node)
        infer(node, self._schema(node), known, self.imports)
        self.nodes.append(node)
        return []

    def _count(self, node: NodeProto) -> None:
        self._visited += 1
        if self._visited > 2 * MAX_NODES:
            raise UnsupportedModel(
                f"{self.known.where}: {node_label(node)}: more than {2 * MAX_NODES:,} nodes once functions and loops "
                "are written out",
                "The harness measures models; split or simplify this graph.",
                operator=node.op_type,
            )

    def _renamed(self, node: NodeProto) -> NodeProto:
        if not any(name in self.known.aliases for name in node.input):
            return node
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.known.resolve(name) for name in node.input]
        return copy

    def _pass_through(self, node: NodeProto) -> bool:
        """Identity, and Dropout in inference, are names for their input."""
        if node.op_type == "Dropout":
            mode = self.known.value(node.input[2]) if len(node.input) > 2 and node.input[2] else numpy.array(False)
            if mode is None or mode.any() or (len(node.output) > 1 and node.output[1]):
                return False
        elif node.op_type != "Identity":
            return False
        self.known.alias(node.output[0], node.input[0])
        return True

    def _simpler(self, node: NodeProto) -> list[NodeProto]:
        """What replaces an operator that the adapter lacks: its ONNX function body, a rule, or nothing."""
        own = self.operators is None or node.op_type in self.operators
        if own and node.domain in DEFAULT_DOMAINS and node.op_type not in _ALWAYS_REWRITTEN:
            return []
        prefix = f"{node.op_type}_{len(self._bodies)}/"
        types = [self.known.type_proto(name) for name in node.input]
        schema, by = self._schema(node), "function body"
        nodes = function_body(schema, node, self._opset(node), types, prefix)
        if not nodes:
            nodes, by = rule_for(schema, node, prefix), "rule"
        if nodes:
            if node.name.split("/")[0] + "/" not in self._bodies:
                self.rewritten[node.op_type] = by
            self._bodies.add(prefix)
        return nodes

    def _differentiate(self, node: NodeProto) -> None:
        """Gradient names what it differentiates in attributes; in a Program that is its last input."""
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        towards = list(node.input)[: len(given["xs"])]
        inputs = [*towards, self.known.resolve(given["y"].decode())]
        self.nodes.append(helper.make_node("Gradient", inputs, list(node.output), node.name))
        for name, source in zip(node.output, towards, strict=False):
            self.known.types[name] = replace(self.known.types[source], name=name)

    def _opset(self, node: NodeProto) -> int:
        if node.domain in DEFAULT_DOMAINS:
            return self.known.opset
        return max((entry.version for entry in self.imports if entry.domain == node.domain), default=1)

    def _schema(self, node: NodeProto) -> defs.OpSchema:
        domain = "" if node.domain in DEFAULT_DOMAINS else node.domain
        try:
            return defs.get_schema(node.op_type, self._opset(node), domain)
        except defs.SchemaError:
            if domain:
                raise foreign(domain, node.op_type, f"{self.known.where}: {node_label(node)}") from None
            raise UnsupportedModel(
                f"{self.known.where}: {node_label(node)}: ONNX opset {self.known.opset} has no operator "
                f"{node.op_type!r}",
                "Export it again, or install a newer onnx.",
                operator=node.op_type,
            ) from None
