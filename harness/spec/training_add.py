"""Give an inference model a training recipe, written as an ONNX TrainingInfoProto.

Optimizer state starts at zero. It is written as sparse initializers without a value, which stand for zeros of any
shape in a few bytes: dense ones would double the file (or triple it, with Adam).
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence
from typing import Any

import onnx.inliner
import onnx.shape_inference
import onnx.version_converter
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TrainingInfoProto,
    ValueInfoProto,
    helper,
)

from harness.errors import HarnessError, did_you_mean
from harness.kit import program
from harness.spec import optimizers
from harness.spec.training_view import (
    FLOATS,
    TRAINING_DOMAIN,
    View,
    all_names,
    attributes,
    label,
    mentioned,
    reads,
    subgraphs,
    unique,
)

LOSSES = ("softmax-cross-entropy", "negative-log-likelihood", "mean-squared-error")

#: Everything that training adds is named so.
PREFIX = "training/"

#: Operators that behave differently while training. They need an operator set in which they say so themselves.
_SENSITIVE = ("BatchNormalization", "Dropout")
_OLDEST_OPSET = 15

#: Model-local functions that call each other deeper than this are not looked into.
MAX_CALLS = 32

#: Which inputs of which operators are weights.
_WEIGHTS: dict[str, Sequence[int]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Einsum": range(64),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "PRelu": (1,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "Gather": (0,),
}

#: Operators whose operands are weights where they have more than one element: a single number is a setting.
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")

#: Operators whose result is their first input in another form: what is a weight behind them is one before them.
_VIEWS = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand")

#: Operators through which no gradient flows.
# fmt: off
_FLAT = frozenset([
    "And", "ArgMax", "ArgMin", "BitShift", "Ceil", "ConstantOfShape", "Equal", "EyeLike", "Floor", "Greater",
    "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonZero", "Not", "OneHot", "Or", "QuantizeLinear",
    "Range", "Round", "Shape", "Sign", "Size", "Xor",
])
# fmt: on


def add(
    model: ModelProto,
    loss: str,
    optimizer: program.Optimizer,
    *,
    output: str | None = None,
    parameters: Iterable[str] | None = None,
    source: str = "the model",
) -> ModelProto:
    """A copy of a model with a training recipe; one that it had already is replaced.

    loss: one of LOSSES, computed from `output` (the only one, if not given) and labels. "softmax-cross-entropy" takes
    logits, and where the output is made by a last Softmax, that one's input. "negative-log-likelihood" takes
    log-probabilities. The labels become an input of the algorithm: int64 class indices for the first two losses,
    an array like the output for "mean-squared-error".
    optimizer: attributes that it leaves out get the defaults in `optimizers.KINDS`.
    parameters: globs over names of initializers; without, every float initializer that is a weight of a
    differentiable operator is trained. Running statistics of BatchNormalization never are.

    Operators that behave differently in training (BatchNormalization, Dropout), and all that follows them, are
    copied into the algorithm with their training behaviour; running statistics are replaced after each step.

    source: how messages call the file. Raises HarnessError.
    """
    if loss not in LOSSES:
        raise HarnessError(f"unknown loss {loss!r}", did_you_mean(loss, list(LOSSES)))
    optimizer = program.Optimizer(
        optimizer.op, optimizer.learning_rate, optimizers.filled(optimizer.op, optimizer.attributes), optimizer.step
    )
    optimizers.check(optimizer, optimizer.op)
    trained = _prepared(model, source)
    writer = _Writer(trained, source)
    chosen = writer.choose_output(output)
    writer.copy_with_training_behaviour(chosen)
    writer.write_loss(loss, chosen)
    names = writer.choose_parameters(list(parameters) if parameters is not None else None)
    writer.write_optimizer(optimizer, names)
    trained.training_info.append(writer.info)
    return trained


def _prepared(model: ModelProto, source: str) -> ModelProto:
    """A copy without training_info, in an operator set that can train, functions with training behaviour inlined."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.training_info[:]
    version = next((entry.version for entry in copy.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version < _OLDEST_OPSET:
        try:
            copy = onnx.version_converter.convert_version(copy, 21)
        except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as error:
            raise HarnessError(
                f"{source}: operator set {version} cannot be lifted to one that can train: {error}",
                f"Export the model again with operator set {_OLDEST_OPSET} or newer.",
            ) from None
    if any(node.op_type in _SENSITIVE for function in copy.functions for node in _all_nodes(function.node)):
        _declare_initializers(copy.graph)
        copy = onnx.inliner.inline_local_functions(copy)
    copy.ir_version = max(copy.ir_version, 7)
    if not any(entry.domain == TRAINING_DOMAIN for entry in copy.opset_import):
        copy.opset_import.append(helper.make_opsetid(TRAINING_DOMAIN, 1))
    return copy


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    for node in nodes:
        yield node
        for body in subgraphs(node):
            yield from _all_nodes(body.node)


def _declare_initializers(graph: GraphProto) -> None:
    """Give each initializer a value_info: the inliner wants to know its type."""
    known = {value.name for value in (*graph.input, *graph.value_info)}
    for tensor in graph.initializer:
        if tensor.name not in known:
            graph.value_info.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


class _Writer:
    """Builds the TrainingInfoProto of one model."""

    def __init__(self, model: ModelProto, source: str):
        self.model = model
        self.source = source
        self.view = View(model.graph)
        self.types = {v.name: v for g in (model.graph,) for v in (*g.value_info, *g.input, *g.output)}
        self.taken = all_names(model.graph)
        self.info = TrainingInfoProto()
        self.graph = self.info.algorithm
        self.graph.name = "training"
        self.renamed: dict[str, str] = {}
        self.loss = ""

    def _error(self, what: str, advice: str) -> HarnessError:
        return HarnessError(f"{self.source}: {what}", advice)

    def _name(self, name: str) -> str:
        return unique(PREFIX + name, self.taken)

    def _node(self, op: str, inputs: Sequence[str], output: str, domain: str = "", **given: Any) -> str:
        self.graph.node.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **given))
        return output

    def _initializer(self, name: str, kind: int, value: float) -> str:
        name = self._name(name)
        self.graph.initializer.append(helper.make_tensor(name, kind, [], [value]))
        return name

    def _update(self, variable: str, new: str, kind: int, dims: Sequence[int]) -> None:
        self.graph.output.append(helper.make_tensor_value_info(new, kind, list(dims)))
        self.info.update_binding.add(key=variable, value=new)

    def choose_output(self, output: str | None) -> str:
        names = [value.name for value in self.model.graph.output]
        if output is None and len(names) == 1:
            return str(names[0])
        if output is None:
            raise self._error(f"it has {len(names)} outputs: {mentioned(names)}", "Say which one the loss is of.")
        if output not in names:
            raise self._error(f"it has no output {output!r}", did_you_mean(output, names))
        return output

    # Training behaviour

    def copy_with_training_behaviour(self, output: str) -> None:
        """Copy what training changes, on the way to `output`: sensitive nodes and all that follow them."""
        wanted = self.view.needed(output)
        latest: dict[str, str] = {}
        always = ""
        for node in self.view.nodes:
            if wanted.isdisjoint(node.output):
                continue
            if any(inner.op_type in _SENSITIVE for body in subgraphs(node) for inner in _all_nodes(body.node)):
                raise self._error(
                    f"{label(node)} has a {' or '.join(_SENSITIVE)} in its body",
                    "That cannot be given training behaviour.",
                )
            sensitive = node.op_type in _SENSITIVE and not node.domain
            if not sensitive and self.renamed.keys().isdisjoint(reads(node)):
                continue
            copy = self._copy(node)
            if node.op_type == "Dropout" and sensitive:
                always = always or self._initializer("true", TensorProto.BOOL, True)
                copy.input.extend([""] * (3 - len(copy.input)))
                copy.input[2] = always
            if node.op_type == "BatchNormalization" and sensitive:
                self._train_statistics(copy, node, latest)
        for statistic, new in latest.items():
            self._update(statistic, new, self.view.dtype(statistic), self.view.dims(statistic))

    def _copy(self, node: NodeProto) -> NodeProto:
        copy: NodeProto = self.graph.node.add()
        copy.CopyFrom(node)
        copy.name = PREFIX + (node.name or node.output[0])
        _rename(copy, self.renamed)
        for i, name in enumerate(node.output):
            if name:
                copy.output[i] = self.renamed[name] = self._name(name)
                self._copy_type(name)
        return copy

    def _copy_type(self, name: str) -> None:
        if name in self.types:
            value = self.graph.value_info.add()
            value.CopyFrom(self.types[name])
            value.name = self.renamed[name]

    def _train_statistics(self, copy: NodeProto, node: NodeProto, latest: dict[str, str]) -> None:
        """Batch statistics, and running ones to be. A node that shares them with an earlier one goes on from there."""
        copy.output.extend([""] * (3 - len(copy.output)))
        for i, statistic in ((1, node.input[3]), (2, node.input[4])):
            if statistic not in self.view.initializers:
                raise self._error(
                    f"{label(node)} keeps its running statistic {statistic!r} elsewhere than in an initializer",
                    "Training replaces running statistics: store it as an initializer.",
                )
            copy.input[i + 2] = latest.get(statistic, statistic)
            copy.output[i] = latest[statistic] = copy.output[i] or self._name(statistic)
        kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
        del copy.attribute[:]
        copy.attribute.extend([*kept, helper.make_attribute("training_mode", 1)])

    # Loss

    def write_loss(self, loss: str, output: str) -> None:
        scores = self.renamed.get(output, output)
        value = self.types[output]
        shape = self._shape(value)
        kind = value.type.tensor_type.elem_type
        if kind not in (*FLOATS, TensorProto.FLOAT16, TensorProto.BFLOAT16):
            raise self._error(f"output {output!r} is not of a float type", "A loss is computed from float values.")
        self.loss = unique("loss", self.taken)
        labels = unique("label", self.taken)
        if loss == "mean-squared-error":
            self.graph.input.append(helper.make_tensor_value_info(labels, kind, shape))
            difference = self._node("Sub", [scores, labels], self._name("difference"))
            square = self._node("Mul", [difference, difference], self._name("square"))
            self._node("ReduceMean", [square], self.loss, keepdims=0)
        else:
            if len(shape) < 2:
                raise self._error(
                    f"output {output!r} has shape {shape}", "Class scores have shape [batch, classes, ...]."
                )
            op, scores = self._classifier(loss, output, scores, len(shape))
            self.graph.input.append(helper.make_tensor_value_info(labels, TensorProto.INT64, shape[:1] + shape[2:]))
            self._node(op, [scores, labels], self.loss, reduction="mean")
        self.graph.output.insert(0, helper.make_tensor_value_info(self.loss, kind, []))

    def _classifier(self, loss: str, output: str, scores: str, rank: int) -> tuple[str, str]:
        """The loss operator and the tensor that it takes."""
        if loss == "negative-log-likelihood":
            return "NegativeLogLikelihoodLoss", scores
        last = self.view.producer.get(output)
        if last is None or last.op_type not in ("Softmax", "LogSoftmax") or last.domain:
            return "SoftmaxCrossEntropyLoss", scores
        axis = attributes(last).get("axis", -1)
        if axis not in (1, 1 - rank):
            raise self._error(
                f"{label(last)} is over axis {axis} of {rank}",
                "The cross-entropy operators want classes on axis 1: put a Transpose before it.",
            )
        if last.op_type == "LogSoftmax":
            return "NegativeLogLikelihoodLoss", scores
        return "SoftmaxCrossEntropyLoss", self.renamed.get(last.input[0], last.input[0])

    def _shape(self, value: ValueInfoProto) -> list[int | str | None]:
        if not value.type.tensor_type.HasField("shape"):
            inferred = onnx.shape_inference.infer_shapes(_weightless(self.model))
            value = next(v for v in inferred.graph.output if v.name == value.name)
        if not value.type.tensor_type.HasField("shape"):
            raise self._error(
                f"output {value.name!r} declares no shape, and none can be inferred", "Declare it in the file."
            )
        dims = value.type.tensor_type.shape.dim
        return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims]

    # Parameters

    def choose_parameters(self, globs: list[str] | None) -> list[str]:
        reached = self._differentiable()
        statistics = {n for v in self.view.nodes if v.op_type == "BatchNormalization" for n in v.input[3:5]}
        weights = (self._weights() if globs is None else self._globbed(globs)) - statistics
        names = [name for name in self.view.initializers if name in weights and name in reached]
        unreached = [glob for glob in globs or () if not fnmatch.filter(names, glob)]
        if unreached:
            raise self._error(
                f"no trainable initializer matches {mentioned(unreached)}",
                "A parameter is a float or double initializer that the loss depends on and that is no running"
                f" statistic: {mentioned([n for n in reached if n in self.view.initializers], 8)}.",
            )
        if not names:
            raise self._error(
                "it has nothing to train",
                "Weights must be float or double initializers (not Constant nodes) that the loss depends on.",
            )
        kinds = {self.view.dtype(name) for name in names}
        if len(kinds) > 1:
            raise self._error("its weights are partly float, partly double", "One optimizer takes one type.")
        return names

    def _globbed(self, globs: list[str]) -> set[str]:
        return {name for glob in globs for name in fnmatch.filter(self.view.initializers, glob)}

    def _differentiable(self) -> set[str]:
        """Float initializers to which a gradient flows from the loss."""
        whole = View(self.model.graph, self.graph)
        found: set[str] = set()
        waiting = [self.loss]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            node = whole.producer.get(name)
            if node is not None and _passes_gradient(node, name):
                waiting.extend(reads(node))
        return {name for name in found if whole.is_initializer(name) and whole.dtype(name) in FLOATS}

    def _weights(self) -> set[str]:
        """Initializers that are weights of some operator, also where a model-local function calls it."""
        functions = {(f.domain, f.name, f.overload): f for f in self.model.functions}
        nodes = [*self.view.nodes, *(n for v in self.view.nodes for b in subgraphs(v) for n in _all_nodes(b.node))]
        certain, arithmetic = _weight_inputs(nodes, functions)
        return {
            name
            for name, tensor in self.view.initializers.items()
            if tensor.dims and (name in certain or (name in arithmetic and math.prod(tensor.dims) > 1))
        }

    # Optimizer

    def write_optimizer(self, optimizer: program.Optimizer, names: list[str]) -> None:
        kind = self.view.dtype(names[0])
        gradients = [self._name(f"gradient/{name}") for name in names]
        whole = View(self.model.graph, self.graph)
        needed = whole.needed(self.loss)
        fed = [name for name in whole.inputs if name in needed]
        self.graph.node.append(
            helper.make_node(
                "Gradient",
                names + fed,
                gradients,
                name=PREFIX + "gradient",
                domain=TRAINING_DOMAIN,
                xs=names,
                zs=fed,
                y=self.loss,
            )
        )
        rate = self._initializer("learning_rate", kind, optimizer.learning_rate)
        step = self._initializer("step", TensorProto.INT64, optimizer.step)
        one = self._initializer("one", TensorProto.INT64, 1)
        states = [[self._state(f"{s}/{n}", n, kind) for n in names] for s in optimizers.KINDS[optimizer.op].states]
        variables = names + [state for row in states for state in row]
        news = [self._name("new/" + variable.removeprefix(PREFIX)) for variable in variables]
        self.graph.node.append(
            helper.make_node(
                optimizer.op,
                [rate, step, *names, *gradients, *variables[len(names) :]],
                news,
                name=PREFIX + "optimizer",
                domain=TRAINING_DOMAIN,
                **optimizer.attributes,
            )
        )
        for i, (variable, new) in enumerate(zip(variables, news, strict=True)):
            self._update(variable, new, kind, self.view.dims(names[i % len(names)]))
        self._update(step, self._node("Add", [step, one], self._name("new/step")), TensorProto.INT64, [])

    def _state(self, name: str, parameter: str, kind: int) -> str:
        """Zeros of a parameter's shape, as a sparse initializer without a value."""
        name = self._name(name)
        zeros = self.graph.sparse_initializer.add()
        zeros.dims.extend(self.view.dims(parameter))
        zeros.values.CopyFrom(helper.make_tensor(name, kind, [0], []))
        zeros.indices.CopyFrom(helper.make_tensor(name + "/indices", TensorProto.INT64, [0], []))
        return name


def _rename(node: NodeProto, names: dict[str, str]) -> None:
    """Rename what a node reads, in its subgraphs too."""
    for i, name in enumerate(node.input):
        node.input[i] = names.get(name, name)
    for body in subgraphs(node):
        for inner in body.node:
            _rename(inner, names)
        for value in body.output:
            value.name = names.get(value.name, value.name)


def _passes_gradient(node: NodeProto, output: str) -> bool:
    if node.op_type == "Cast":
        to = attributes(node)["to"]
        return to in (*FLOATS, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    first_only = node.op_type in ("TopK", "Dropout", "MaxPool", "BatchNormalization")
    return node.op_type not in _FLAT and not (first_only and output != node.output[0])


def _weight_inputs(
    nodes: Sequence[NodeProto], functions: dict[tuple[str, str, str], FunctionProto], depth: int = 0
) -> tuple[set[str], set[str]]:
    """Names that some node takes as a weight, and names that are operands of arithmetic; those behind views too."""
    found: tuple[set[str], set[str]] = (set(), set())
    for node in reversed(nodes):
        function = functions.get((node.domain, node.op_type, node.overload))
        if function is not None and depth < MAX_CALLS:
            inner = _weight_inputs(function.node, functions, depth + 1)
            for mine, names in zip(found, inner, strict=True):
                mine.update(outer for outer, name in zip(node.input, function.input, strict=False) if name in names)
        elif node.domain not in ("", "ai.onnx"):
            continue
        elif node.op_type in _VIEWS:
            for mine in found:
                mine.update([node.input[0]] if node.output[0] in mine else [])
        elif node.op_type in _WEIGHTS:
            found[0].update(node.input[i] for i in _WEIGHTS[node.op_type] if i < len(node.input))
        elif node.op_type in _ARITHMETIC:
            found[1].update(node.input)
    return found


def _weightless(model: ModelProto) -> ModelProto:
    """The model with its float initializers as inputs: what shape inference needs, and nothing heavy."""
    light = ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    fed = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS:
            light.graph.initializer.append(tensor)
        elif tensor.name not in fed:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(value)
    return light
