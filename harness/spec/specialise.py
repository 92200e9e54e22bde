"""From a Model to one static Program: shapes bound, constants folded, functions inlined, one operator set.

One walk over the graph does it all, in time linear in its nodes: each node is folded away, rewritten into simpler
ones, or given its concrete output types, when its inputs are known.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
import onnx
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, defs, helper, inliner, numpy_helper, version_converter
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

from harness.errors import HarnessError
from harness.kit import Node, Program, Tensor, Training
from harness.spec import elements
from harness.spec import training as recipes
from harness.spec.decompose import function_body
from harness.spec.model import Model, held_as_inputs, hold_again, is_held, node_label, opset_of, subgraphs
from harness.spec.steering import ELEMENT_TYPES, OPERANDS, SCALARS

#: The operator set that older files are lifted to. What came later only adds to it.
CANONICAL_OPSET = 21

#: A folded constant may be this large even where its operands are smaller.
_FOLD_BYTES = 1 << 20

#: Extent of an input axis that is free, is not the batch, and was not given.
DEFAULT_EXTENT = 128

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_CONTROL = {"If", "Loop", "Scan", "SequenceMap"}


class UnsupportedModel(HarnessError):
    """The model cannot become a static Program; `operator` names what stands in the way, where it is one."""

    def __init__(self, what: str, advice: str = "", operator: str = ""):
        super().__init__(what, advice)
        self.operator = operator


@dataclass(frozen=True)
class Specialised:
    """A Program and how it came about.

    bound: the free dimensions and what they became. rewritten: {operator: "function body"} for operators that were
    rewritten because the adapter lacks them.
    """

    program: Program
    bound: dict[str, int]
    rewritten: dict[str, str] = field(default_factory=dict)


def lift(proto: ModelProto, where: str) -> ModelProto:
    """A model at the canonical operator set or a newer one, its functions inlined. Training information is lost."""
    if proto.functions:
        proto = _inline(proto, where)
    if opset_of(proto) >= CANONICAL_OPSET:
        return proto
    try:
        lifted = version_converter.convert_version(held_as_inputs(proto), CANONICAL_OPSET)
    except Exception as error:  # the converter raises RuntimeError and others from C++
        raise UnsupportedModel(
            f"{where}: cannot be lifted from opset {opset_of(proto)} to {CANONICAL_OPSET}: {error}",
            "Export it again at a newer operator set.",
        ) from None
    hold_again(lifted, proto)
    return lifted


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
    lowers itself; others are replaced by their ONNX function body where they have one. values: arrays for inputs;
    an input that steers an operator (the shape of a Reshape, say) is bound to its value, as by any tracing framework.

    Raises HarnessError for a wrong shape or a model without a recipe, UnsupportedModel where no Program can be made.
    """
    where = str(model.path)
    proto, training = _graph_for(model, purpose, where)
    proto = lift(proto, where)
    walk = _Walk(model, proto, training, where, operators)
    _bind_steering_inputs(walk, proto, values or {})
    bound = _bind_inputs(walk, proto, batch, dict(shapes or {}))
    walk.run()
    return Specialised(walk.finish(purpose), bound, walk.rewritten)


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


def _bind_steering_inputs(walk: _Walk, proto: ModelProto, values: Mapping[str, numpy.ndarray]) -> None:
    """Make constants of the inputs that steer an operator and whose values are given."""
    for node in proto.graph.node:
        for position in OPERANDS.get(node.op_type, {}):
            name = node.input[position] if position < len(node.input) else ""
            if name in values and name not in walk.constants:
                walk.constant(name, values[name])


def _bind_inputs(walk: _Walk, proto: ModelProto, batch: int | None, shapes: dict[str, int]) -> dict[str, int]:
    """Give every graph input a concrete shape; returns what each free dimension became."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights | walk.constants.keys()]
    batch_names = {value.type.tensor_type.shape.dim[0].dim_param for value in inputs if _rank(value)} - {""}
    bound: dict[str, int] = {}
    known: set[str] = set()
    leading: set[int] = set()
    for value in inputs:
        if value.type.WhichOneof("value") != "tensor_type":
            raise UnsupportedModel(f"{walk.where}: input {value.name!r} is not a tensor", operator=value.name)
        extents = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            name = dim.dim_param or f"{value.name}.{axis}"
            known.add(name)
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                extents.append(dim.dim_value)
                continue
            is_batch = axis == 0 or dim.dim_param in batch_names
            extents.append(shapes.get(name, (batch or 1) if is_batch else DEFAULT_EXTENT))
            bound[name] = extents[-1]
        leading.update(extents[:1])
        walk.declare_input(value.name, value.type.tensor_type.elem_type, extents)
    _check_asked(walk.where, batch, leading, set(shapes) - known, bound)
    return bound


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
    """The state of the one walk: what is known of every tensor so far."""

    def __init__(
        self,
        model: Model,
        proto: ModelProto,
        training: Training | None,
        where: str,
        operators: Collection[str] | None,
    ):
        self.model, self.proto, self.training, self.where = model, proto, training, where
        self.operators = operators
        self.opset = opset_of(proto)
        self.imports = list(proto.opset_import)
        self.types: dict[str, Tensor] = {}
        self.constants: dict[str, numpy.ndarray] = {}
        self.aliases: dict[str, str] = {}
        self.inputs: list[str] = []
        self.nodes: list[NodeProto] = []
        self.rewritten: dict[str, str] = {}
        self.bodies: set[str] = set()
        changing = {*training.parameters, *training.updates} if training else set()
        for tensor in proto.graph.initializer:
            array = model.weights[tensor.name] if is_held(tensor) else numpy_helper.to_array(tensor)
            self.types[tensor.name] = Tensor(tensor.name, elements.name_of(tensor.data_type), tuple(tensor.dims))
            self.constants[tensor.name] = array
        self.changing = changing

    def declare_input(self, name: str, element_type: int, shape: list[int]) -> None:
        self.inputs.append(name)
        self.types[name] = Tensor(name, elements.name_of(element_type), tuple(shape))

    def run(self) -> None:
        waiting = deque(self.proto.graph.node)
        while waiting:
            node = self._renamed(waiting.popleft())
            replacement = self._visit(node)
            if replacement:
                waiting.extendleft(reversed(replacement))

    # One node ------------------------------------------------------------------------------------------------------

    def _visit(self, node: NodeProto) -> list[NodeProto]:
        """Settle one node; what it was rewritten into is visited next."""
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: {node.domain} is not ONNX's own operator domain",
                "No adapter has it: only ONNX operators mean the same in all frameworks.",
                operator=f"{node.domain}.{node.op_type}",
            )
        if self._pass_through(node) or self._fold(node):
            return []
        if node.op_type == "If":
            return self._branch(node)
        if node.op_type in _CONTROL:
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: control flow that depends on data",
                "Only models without it can be compared; If with a constant condition is folded.",
                operator=node.op_type,
            )
        body = self._function_body(node)
        if body:
            return body
        self._infer(node)
        self.nodes.append(node)
        return []

    def _renamed(self, node: NodeProto) -> NodeProto:
        if not any(name in self.aliases for name in node.input):
            return node
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.aliases.get(name, name) for name in node.input]
        return copy

    def _pass_through(self, node: NodeProto) -> bool:
        """Identity, and Dropout in inference, are names for their input."""
        if node.op_type == "Dropout":
            mode = node.input[2] if len(node.input) > 2 else ""
            active = bool(mode) and not (mode in self.constants and not self.constants[mode].any())
            if active or (len(node.output) > 1 and node.output[1]):
                return False
        elif node.op_type != "Identity":
            return False
        self.aliases[node.output[0]] = self.aliases.get(node.input[0], node.input[0])
        return True

    def _fold(self, node: NodeProto) -> bool:
        """Compute a node now if everything it needs is constant. Returns whether it is gone."""
        if node.op_type in ("Shape", "Size") and node.input[0] in self.types:
            return self._fold_shape(node)
        names = [name for name in node.input if name]
        if node.op_type in _RANDOM or any(name not in self.constants or name in self.changing for name in names):
            return False
        if any(True for _ in subgraphs(node)):
            return False
        if any(self.types[name].dtype == "string" for name in names if name in self.types):
            return False
        try:
            evaluator = ReferenceEvaluator(node, opsets={"": self.opset})
            results = evaluator.run(None, {name: numpy.asarray(self.constants[name]) for name in names})
        except Exception:  # onnx.reference lacks some operators and types; the node then stays as it is
            return False
        if any(not isinstance(result, numpy.ndarray | numpy.generic) for result in results):
            return False
        folded = [numpy.asarray(result) for result in results]
        before = sum(self.constants[name].nbytes for name in names)
        if sum(array.nbytes for array in folded) > max(_FOLD_BYTES, 2 * before):
            return False
        for name, array in zip(node.output, folded, strict=False):
            if name:
                self.constant(name, array)
        return True

    def _fold_shape(self, node: NodeProto) -> bool:
        shape = numpy.array(self.types[node.input[0]].shape, numpy.int64)
        if node.op_type == "Size":
            self.constant(node.output[0], numpy.array(math.prod(shape.tolist()), numpy.int64))
        else:
            given = {attribute.name: attribute.i for attribute in node.attribute}
            self.constant(node.output[0], shape[slice(given.get("start", 0), given.get("end"))])
        return True

    def constant(self, name: str, array: numpy.ndarray) -> None:
        self.constants[name] = array
        self.types[name] = Tensor(name, elements.name_of(helper.np_dtype_to_tensor_dtype(array.dtype)), array.shape)

    def _branch(self, node: NodeProto) -> list[NodeProto]:
        """An If whose condition is constant is the branch it takes."""
        if node.input[0] not in self.constants:
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: its condition depends on data",
                "Only an If whose condition is constant once shapes are bound can be compared.",
                operator="If",
            )
        wanted = "then_branch" if bool(numpy.asarray(self.constants[node.input[0]]).reshape(-1)[0]) else "else_branch"
        body = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
        for tensor in body.initializer:
            self.constant(tensor.name, numpy_helper.to_array(tensor))
        bridges = [
            helper.make_node("Identity", [inner.name], [outer])
            for inner, outer in zip(body.output, node.output, strict=True)
        ]
        return [*body.node, *bridges]

    def _function_body(self, node: NodeProto) -> list[NodeProto]:
        """The ONNX function body of an operator that the adapter lacks; empty where there is none."""
        if self.operators is None or node.op_type in self.operators:
            return []
        prefix = f"{node.op_type}_{len(self.bodies)}/"
        types = [self._type_proto(name) for name in node.input]
        body = function_body(self._schema(node), node, self.opset, types, prefix)
        if body:
            if node.name.split("/")[0] + "/" not in self.bodies:
                self.rewritten[node.op_type] = "function body"
            self.bodies.add(prefix)
        return body

    def _schema(self, node: NodeProto) -> defs.OpSchema:
        try:
            return defs.get_schema(node.op_type, self.opset, "")
        except defs.SchemaError:
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: ONNX opset {self.opset} has no operator {node.op_type!r}",
                "Export it again, or install a newer onnx.",
                operator=node.op_type,
            ) from None

    def _type_proto(self, name: str) -> TypeProto:
        if not name:
            return TypeProto()
        tensor = self.types[name]
        return helper.make_tensor_type_proto(elements.number_of(tensor.dtype), tensor.shape)

    def _infer(self, node: NodeProto) -> None:
        """Concrete types of a node's outputs, by ONNX's own inference on its concrete inputs."""
        names = [name for name in node.input if name]
        unknown = next((name for name in names if name not in self.types), None)
        if unknown is not None:
            raise HarnessError(f"{self.where}: {node_label(node)} reads {unknown!r}, which nothing makes")
        data = {
            name: numpy_helper.from_array(self.constants[name], name)
            for name in names
            if name in self.constants and self.constants[name].size <= 1024 and name not in self.changing
        }
        try:
            inferred = infer_node_outputs(
                self._schema(node),
                node,
                {name: self._type_proto(name) for name in names},
                data,
                opset_imports=self.imports,
            )
        except onnx.shape_inference.InferenceError as error:
            raise HarnessError(
                f"{self.where}: {node_label(node)}: wrong shapes: {_inference_message(error)}",
                "Inputs: "
                + ", ".join(f"{name} {self.types[name].dtype}{list(self.types[name].shape)}" for name in names),
            ) from None
        for name in filter(None, node.output):
            self.types[name] = self._static(node, name, inferred.get(name))

    def _typed(self, names: Iterable[str]) -> list[tuple[str, Tensor]]:
        return [(name, self.types[name]) for name in names]

    def _static(self, node: NodeProto, name: str, kind: TypeProto | None) -> Tensor:
        if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: the type or rank of {name!r} is not known before it runs",
                "Only static models can be compared.",
                operator=node.op_type,
            )
        dims = kind.tensor_type.shape.dim
        if not all(dim.HasField("dim_value") for dim in dims):
            raise UnsupportedModel(
                f"{self.where}: {node_label(node)}: the shape of {name!r} depends on data",
                "Only static models can be compared.",
                operator=node.op_type,
            )
        return Tensor(name, elements.name_of(kind.tensor_type.elem_type), tuple(dim.dim_value for dim in dims))

    # The result ----------------------------------------------------------------------------------------------------

    def finish(self, purpose: str) -> Program:
        outputs = [value.name for value in self.proto.graph.output]
        sources = [self.aliases.get(name, name) for name in outputs]
        kept = self._keep_output_names(_needed_nodes(self.nodes, sources), outputs, sources)
        nodes = [self._node(node, index) for index, node in enumerate(kept)]
        reads = {name for node in nodes for name in [*node.inputs, *node.operands.values()] if name}
        reads |= self.changing | set(outputs)
        weights = {name: array for name, array in self.constants.items() if name in reads}
        made = [name for node in nodes for name in node.outputs if name]
        names = [*self.inputs, *weights, *made]
        return Program(
            name=self.model.name,
            opset=self.opset,
            inputs=tuple(self.types[name] for name in self.inputs),
            outputs=tuple(self.types[name] for name in outputs),
            initializers=tuple(self.types[name] for name in weights),
            nodes=tuple(nodes),
            tensors={name: self.types[name] for name in names},
            training=self.training,
            weights=weights,
        )

    def _keep_output_names(self, nodes: list[NodeProto], outputs: list[str], sources: list[str]) -> list[NodeProto]:
        """An output that became another name for something keeps its own: by renaming what makes it, if it can."""
        made = {name for node in nodes for name in node.output}
        renamed: dict[str, str] = {}
        bridges = []
        for name, source in zip(outputs, sources, strict=True):
            if name == source:
                continue
            self.types[name] = replace(self.types[source], name=name)
            if source in made and source not in outputs and source not in renamed:
                renamed[source] = name
            else:
                bridges.append(helper.make_node("Identity", [renamed.get(source, source)], [name], f"output/{name}"))
        for node in nodes:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        return nodes + bridges

    def _node(self, node: NodeProto, index: int) -> Node:
        attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
        for key in ELEMENT_TYPES & attributes.keys():
            attributes[key] = elements.name_of(attributes[key])
        inputs, operands = list(node.input), {}
        steering = OPERANDS.get(node.op_type, {})
        for position, keyword in steering.items():
            name = node.input[position] if position < len(node.input) else ""
            if name in self.constants and name not in self.changing:
                array = self.constants[name]
                attributes[keyword] = array.reshape(-1)[0].item() if keyword in SCALARS else array.tolist()
            elif name:
                operands[keyword] = name
        inputs = [name for position, name in enumerate(inputs) if position not in steering]
        while inputs and not inputs[-1]:
            inputs.pop()
        self._complete(node, attributes)
        return Node(
            op=node.op_type,
            name=node.name or f"{node.op_type}_{index}",
            inputs=tuple(inputs),
            outputs=tuple(node.output),
            attributes=attributes,
            operands=operands,
        )

    def _complete(self, node: NodeProto, attributes: dict[str, Any]) -> None:
        """Fill in what ONNX lets a file leave out and shapes tell."""
        shape = self.types[node.input[0]].shape if node.input and node.input[0] else ()
        if node.op_type == "Slice" and "starts" in attributes and "ends" in attributes:
            axes = attributes.get("axes", list(range(len(attributes["starts"]))))
            attributes["axes"] = [axis % len(shape) for axis in axes]
            attributes.setdefault("steps", [1] * len(axes))
        if node.op_type == "Split":
            axis = attributes.get("axis", 0)
            attributes.pop("num_outputs", None)
            attributes["split"] = [self.types[name].shape[axis] for name in node.output]
        if node.op_type in ("Conv", "ConvTranspose"):
            attributes.setdefault("kernel_shape", list(self.types[node.input[1]].shape[2:]))
        if node.op_type in ("Conv", "MaxPool", "AveragePool", "LpPool"):
            _resolve_auto_pad(attributes, shape[2:], self.types[node.output[0]].shape[2:])


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


def _needed_nodes(nodes: list[NodeProto], wanted: Iterable[str]) -> list[NodeProto]:
    """The nodes that the wanted tensors depend on, in the same order."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed.update(node.input)
    kept.reverse()
    return kept


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


def _inference_message(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
