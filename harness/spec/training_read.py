"""Read and validate the training recipe of an ONNX file. onnx.checker does not look inside training_info: this does.

What is read is any TrainingInfoProto that conforms to ONNX and describes what a Program can express: one loss, its
Gradient, one optimizer of ai.onnx.preview.training 1 on all parameters, and updates that the forward pass computes.
Whatever else a recipe asks for (a learning-rate schedule, clipped gradients, random first weights) is refused:
leaving it out would train another model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy
import onnx
from onnx import ModelProto, NodeProto, StringStringEntryProto, TensorProto, TrainingInfoProto, helper

from harness.errors import HarnessError
from harness.kit import program
from harness.spec import optimizers
from harness.spec.training_view import FLOATS, TRAINING_DOMAIN, View, array_of, attributes, label, mentioned

#: Cross-entropy and likelihood losses, whose `reduction` decides whether they are a scalar.
_REDUCING = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")


@dataclass(frozen=True)
class Recipe:
    """A training recipe, in the names of the file's tensors.

    loss: the scalar to minimise. loss_operator: the operator that computes it. labels: inputs that only training has.
    parameters: what the optimizer changes, in its order. updates: {initializer: tensor that replaces it after a step}
    of the forward pass (running statistics).
    """

    loss: str
    loss_operator: str
    labels: tuple[str, ...]
    parameters: tuple[str, ...]
    optimizer: program.Optimizer
    updates: dict[str, str]


def read(model: ModelProto, source: str = "the model") -> Recipe | None:
    """The recipe of a model, or None if it has none. Raises HarnessError for one that is broken or not supported.

    source: how messages call the file.
    """
    if not model.training_info:
        return None
    if len(model.training_info) > 1:
        raise HarnessError(
            f"{source}: it has {len(model.training_info)} training_info entries",
            "Training in several alternating algorithms is not supported: keep one.",
        )
    return _Reader(model, model.training_info[0], source).recipe()


class _Reader:
    def __init__(self, model: ModelProto, info: TrainingInfoProto, source: str):
        self.source = source
        self.view = View(model.graph, info.algorithm)
        self.initial = View(info.initialization)
        self.declared = {v.name: v.type.tensor_type for v in (*info.algorithm.output, *info.algorithm.value_info)}
        self.algorithm_inputs = [value.name for value in info.algorithm.input]
        self.visible = {value.name for graph in (info.algorithm, model.graph) for value in graph.output}
        self.versions = {entry.domain: entry.version for entry in model.opset_import}
        self.updates = self._bindings(info.update_binding, "update_binding")
        self.first_values = self._bindings(info.initialization_binding, "initialization_binding")

    def recipe(self) -> Recipe:
        self.view.check_names(self.source)
        gradient, optimizer_node = self._the_only("Gradient"), self._optimizer_node()
        self._check_version()
        self._check_bindings()
        loss, slopes = self._gradient(gradient)
        optimizer, parameters, handled = self._optimizer(optimizer_node, slopes)
        updates = {key: value for key, value in self.updates.items() if key not in handled}
        self._check_forward(loss, updates, {*gradient.output, *optimizer_node.output} - {""})
        needed, needed_for_loss = self.view.needed(loss, *updates.values()), self.view.needed(loss)
        self._check_first_values(needed)
        lost = [name for name in parameters if name not in needed_for_loss]
        if lost:
            raise self._error(
                f"the loss {loss!r} does not depend on {mentioned(lost)}", "Train only what the loss depends on."
            )
        return Recipe(
            loss=loss,
            loss_operator=self.view.producer[loss].op_type,
            labels=tuple(name for name in self.algorithm_inputs if name in needed and name in self.view.inputs),
            parameters=parameters,
            optimizer=optimizer,
            updates=updates,
        )

    def _error(self, what: str, advice: str = "") -> HarnessError:
        return HarnessError(f"{self.source}: training: {what}", advice)

    def _bindings(self, entries: Iterable[StringStringEntryProto], field: str) -> dict[str, str]:
        bindings: dict[str, str] = {}
        for entry in entries:
            if entry.key in bindings:
                raise self._error(f"{field} names {entry.key!r} twice", "A variable is assigned at most once a step.")
            bindings[entry.key] = entry.value
        return bindings

    def _nodes(self, *ops: str) -> list[NodeProto]:
        return [node for node in self.view.nodes if node.domain == TRAINING_DOMAIN and node.op_type in ops]

    def _the_only(self, op: str) -> NodeProto:
        found = self._nodes(op)
        if len(found) != 1:
            raise self._error(
                f"the algorithm has {len(found)} {op} nodes of {TRAINING_DOMAIN}; it must have one",
                "Gradients of gradients, and several losses with a Gradient each, are not supported."
                if found
                else "`harness model train` writes a complete recipe.",
            )
        return found[0]

    def _optimizer_node(self) -> NodeProto:
        found = self._nodes(*optimizers.KINDS)
        if len(found) != 1:
            names = ", ".join(node.op_type for node in found) or "none"
            raise self._error(
                f"the algorithm has {len(found)} optimizer nodes ({names}); it must have one",
                f"One {', '.join(optimizers.KINDS)} node of {TRAINING_DOMAIN} takes all parameters.",
            )
        return found[0]

    def _check_version(self) -> None:
        version = self.versions.get(TRAINING_DOMAIN)
        if version != 1:
            raise self._error(
                f"opset_import has {TRAINING_DOMAIN} in version {version}"
                if version
                else f"opset_import lacks {TRAINING_DOMAIN}",
                "Its version 1 is what this harness knows: import that.",
            )

    def _check_bindings(self) -> None:
        for key, value in self.updates.items():
            if not self.view.is_initializer(key):
                raise self._error(
                    f"update_binding assigns to {key!r}, which is not an initializer",
                    "Only initializers of the graph or of the algorithm can be updated.",
                )
            if value not in self.visible:
                raise self._error(
                    f"update_binding gives {key!r} the value of {value!r}, which is no output of the algorithm",
                    "List it in algorithm.output (and make it there).",
                )
        for name in self.visible:
            if name not in self.view.producer and name not in self.view.inputs and not self.view.is_initializer(name):
                raise self._error(f"{name!r} is an output, but nothing makes it", "Remove it or make it.")

    def _gradient(self, node: NodeProto) -> tuple[str, dict[str, str]]:
        """The differentiated tensor, and {gradient tensor: what it is the gradient with respect to}."""
        (loss, *others), xs, zs = (self._strings(node, name) for name in ("y", "xs", "zs"))
        if others or not loss or not xs:
            raise self._error(f"{label(node)} lacks its attribute xs or y", "ONNX requires both.")
        if list(node.input) != xs + zs:
            raise self._error(
                f"{label(node)} is evaluated at other tensors than its xs and zs name",
                "Its inputs must be the tensors of xs, then those of zs, in that order.",
            )
        made = [name for name in xs + zs if name in self.view.producer and self.view.constant(name) is None]
        if made:
            raise self._error(
                f"{label(node)} treats {mentioned(made)} as independent, but nodes compute it",
                "xs and zs name inputs and initializers only.",
            )
        if loss not in self.view.producer:
            raise self._error(f"{label(node)} differentiates {loss!r}, which no node makes", "y names the loss.")
        if len(node.output) > len(xs):
            raise self._error(f"{label(node)} has {len(node.output)} outputs for {len(xs)} xs", "One for each of xs.")
        self._check_scalar(loss)
        return loss, {output: x for output, x in zip(node.output, xs, strict=False) if output}

    @staticmethod
    def _strings(node: NodeProto, name: str) -> list[str]:
        """An attribute that is a string or strings; absent or of another type, y is [""], the others []."""
        value = attributes(node).get(name, [])
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(entry, bytes) for entry in values):
            return [entry.decode(errors="replace") for entry in values]
        return [""] if name == "y" else []

    def _check_scalar(self, loss: str) -> None:
        node = self.view.producer[loss]
        reduction = attributes(node).get("reduction", b"mean")
        shape = self._declared_shape(loss)
        if (node.op_type in _REDUCING and reduction == b"none") or (shape and any(extent != 1 for extent in shape)):
            raise self._error(
                f"the loss {loss!r} of {label(node)} is not one number",
                "Reduce it to its mean or sum: the gradient is that of a scalar.",
            )

    def _declared_shape(self, name: str) -> list[int] | None:
        """The extents an algorithm output declares; None where it declares none, -1 for a symbolic extent."""
        declared = self.declared.get(name)
        if declared is None or not declared.HasField("shape"):
            return None
        return [d.dim_value if d.HasField("dim_value") else -1 for d in declared.shape.dim]

    def _optimizer(
        self, node: NodeProto, slopes: dict[str, str]
    ) -> tuple[program.Optimizer, tuple[str, ...], set[str]]:
        """The optimizer, its parameters, and the initializers whose updates it accounts for."""
        kind = optimizers.KINDS[node.op_type]
        columns = 2 + len(kind.states)
        operands = list(node.input[2:])
        if len(node.input) <= 2 or len(operands) % columns:
            raise self._error(
                f"{label(node)} has {len(node.input)} inputs",
                f"It takes R and T, then for n tensors n each of: the tensor, its gradient, {', '.join(kind.states)}.",
            )
        count = len(operands) // columns
        table = [operands[i * count : (i + 1) * count] for i in range(columns)]
        parameters = table[0]
        if len(set(parameters)) < count:
            raise self._error(f"{label(node)} is given a parameter twice", "Give it each once.")
        if len(node.output) != count * (1 + len(kind.states)):
            raise self._error(
                f"{label(node)} has {len(node.output)} outputs for {count} parameters",
                f"It makes {1 + len(kind.states)} tensors for each parameter.",
            )
        for i, parameter in enumerate(parameters):
            self._check_parameter(node, parameter, table[1][i], slopes)
            self._check_update(node, parameter, node.output[i])
            for k, state in enumerate(row[i] for row in table[2:]):
                self._check_state(node, kind.states[k], state, parameter)
                self._check_update(node, state, node.output[(k + 1) * count + i])
        optimizer, counter = self._hyper_parameters(node)
        return optimizer, tuple(parameters), {*parameters, *(s for row in table[2:] for s in row), *counter}

    def _check_parameter(self, node: NodeProto, parameter: str, gradient: str, slopes: dict[str, str]) -> None:
        if parameter not in self.view.initializers:
            raise self._error(
                f"{label(node)} trains {parameter!r}, which is not an initializer",
                "Only dense initializers can be trained: turn a Constant node or a sparse tensor into one.",
            )
        if self.view.dtype(parameter) not in FLOATS:
            kind = TensorProto.DataType.Name(self.view.dtype(parameter))
            raise self._error(f"{parameter!r} is {kind}", f"{node.op_type} trains float and double tensors.")
        if slopes.get(gradient) != parameter:
            found = f"the gradient of {slopes[gradient]!r}" if gradient in slopes else "no output of the Gradient node"
            raise self._error(
                f"{label(node)} is given {gradient!r} as the gradient of {parameter!r}; it is {found}",
                "The optimizer takes gradients as the Gradient node makes them; clipping or scaling them between the"
                " two is not supported.",
            )
        for name in (gradient, self.updates.get(parameter, "")):
            shape = self._declared_shape(name)
            wanted = self.view.dims(parameter)
            if shape is not None and -1 not in shape and tuple(shape) != wanted:
                raise self._error(f"{name!r} has shape {shape}, {parameter!r} has {list(wanted)}", "They must agree.")

    def _check_update(self, node: NodeProto, variable: str, new: str) -> None:
        if self.updates.get(variable) != new:
            found = f"it assigns {self.updates[variable]!r}" if variable in self.updates else "it does not name it"
            raise self._error(
                f"update_binding must assign {new!r} of {label(node)} to {variable!r}; {found}",
                "Every parameter and every state of the optimizer is replaced by what the optimizer makes of it.",
            )

    def _check_state(self, node: NodeProto, kind: str, state: str, parameter: str) -> None:
        where = f"{state!r}, the {kind.replace('_', ' ')} of {parameter!r}"
        if not self.view.is_initializer(state):
            raise self._error(f"{label(node)} keeps {where}, which is not an initializer", "Make it one, of zeros.")
        wanted = self.view.dims(parameter)
        if self.view.dims(state) != wanted or self.view.dtype(state) != self.view.dtype(parameter):
            raise self._error(
                f"{where}, has shape {list(self.view.dims(state))}, the parameter {list(wanted)}",
                "They must have the same shape and element type.",
            )
        values = self._first_value(state)
        if values is None or (state not in self.view.sparse and values.shape != wanted):
            raise self._error(f"the first value of {where}, cannot be read", "Store it in the file, as zeros.")
        if numpy.any(values):
            raise self._error(
                f"{where}, does not start at zero",
                "Going on with an earlier training is not supported: every framework starts from zero state.",
            )

    def _first_value(self, name: str) -> numpy.ndarray | None:
        """The value of a constant when training starts; of a sparse one, its elements that are not zero."""
        if name in self.first_values:
            return self.initial.constant(self.first_values[name])
        if name in self.view.sparse:
            return array_of(self.view.sparse[name].values)
        return self.view.constant(name)

    def _scalar(self, node: NodeProto, name: str, what: str) -> Any:
        value = self._first_value(name)
        if value is None or value.size != 1:
            raise self._error(
                f"{what} {name!r} of {label(node)} is not a constant number",
                "It must be an initializer or a Constant; a learning rate that is computed is not supported.",
            )
        return value.reshape(())[()]

    def _hyper_parameters(self, node: NodeProto) -> tuple[program.Optimizer, set[str]]:
        kind = optimizers.KINDS[node.op_type]
        given = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes(node).items()}
        absent = [name for name in kind.required if name not in given]
        if absent:
            raise self._error(f"{label(node)} lacks {mentioned(absent)}", "ONNX gives these attributes no default.")
        rate, count = node.input[:2]
        if rate in self.updates:
            raise self._error(f"the learning rate {rate!r} is updated", "Learning-rate schedules are not supported.")
        step = self._scalar(node, count, "the update count")
        if not isinstance(step, numpy.integer):
            raise self._error(f"the update count {count!r} of {label(node)} is {step.dtype}", "It must be int64.")
        where = f"{self.source}: training: {label(node)}"
        optimizer = program.Optimizer(
            op=node.op_type,
            learning_rate=float(self._scalar(node, rate, "the learning rate")),
            attributes=optimizers.filled(node.op_type, _stored_defaults(node.op_type) | given, where),
            step=int(step),
        )
        optimizers.check(optimizer, where)
        if count in self.updates:
            self._check_increment(node, count)
            return optimizer, {count}
        return self._without_counting(node, optimizer, count), set()

    def _check_increment(self, node: NodeProto, count: str) -> None:
        new = self.updates[count]
        adder = self.view.producer.get(new)
        addends = list(adder.input) if adder is not None and adder.op_type == "Add" else []
        others = [name for name in addends if name != count]
        one = self.view.constant(others[0]) if len(addends) == 2 and len(others) == 1 else None
        if one is None or one.size != 1 or one.reshape(()) != 1 or others[0] in self.updates:
            raise self._error(
                f"update_binding assigns {new!r} to {count!r}, the update count of {label(node)}",
                "It must be the count plus 1, made by an Add with a constant.",
            )

    def _without_counting(self, node: NodeProto, optimizer: program.Optimizer, count: str) -> program.Optimizer:
        """A count that stays as it is: what that means, where a counting optimizer can express it."""
        if optimizer.op == "Momentum":
            if optimizer.step > 0:
                return optimizer
            return replace(optimizer, attributes={**optimizer.attributes, "beta": 1.0})
        if optimizer.op == "Adagrad" and optimizer.attributes["decay_factor"] == 0:
            return optimizer
        raise self._error(
            f"the update count {count!r} of {label(node)} never changes",
            "Make it an initializer that update_binding replaces by itself plus 1.",
        )

    def _check_forward(self, loss: str, updates: dict[str, str], backward: set[str]) -> None:
        """Loss and further updates come from the forward pass alone, and fit what they replace."""
        after_gradients = self.view.made_from(backward)
        for key, value in [("the loss", loss), *updates.items()]:
            if value in after_gradients:
                raise self._error(
                    f"{value!r}, which is {key if value == loss else f'assigned to {key!r}'}, depends on gradients",
                    "Only parameters and optimizer state may: averages of weights and schedules are not supported.",
                )
        for key, value in updates.items():
            if key not in self.view.initializers:
                raise self._error(f"update_binding assigns to sparse tensor {key!r}", "Store it as a dense one.")
            shape = self._declared_shape(value)
            wanted = self.view.dims(key)
            if shape is not None and -1 not in shape and tuple(shape) != wanted:
                raise self._error(f"{value!r} has shape {shape}, {key!r} has {list(wanted)}", "They must agree.")

    def _check_first_values(self, weights: set[str]) -> None:
        """Initialization may set optimizer state and scalars, which were read above; never weights."""
        for key in self.first_values:
            if not self.view.is_initializer(key):
                raise self._error(
                    f"initialization_binding assigns to {key!r}, which is not an initializer",
                    "Only initializers of the graph or of the algorithm have a first value.",
                )
            if key in weights:
                raise self._error(
                    f"initialization replaces {key!r} before training",
                    "Every framework starts from the weights in the file: store the initial weights as initializers.",
                )


def _stored_defaults(op: str) -> dict[str, float]:
    """ONNX's default of each attribute that has one, as the float32 it is."""
    schema = onnx.defs.get_schema(op, 1, TRAINING_DOMAIN)
    return {
        name: helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
