"""Training lives in the ONNX file, as a TrainingInfoProto: give a model a recipe, read it, run its forward pass.

    model = training.add(model, "softmax-cross-entropy", program.Optimizer("Momentum", 0.1, {}))
    recipe = training.read(model)
    forward, train = training.forward(model, recipe)

`forward` is the half of the recipe that frameworks execute node by node: loss and running statistics. Gradient and
optimizer, the other half, are theirs, as `train` (kit.program.Training) describes them.
"""

from __future__ import annotations

from onnx import ModelProto

from harness.kit import program
from harness.spec.training_add import LOSSES, add
from harness.spec.training_read import Recipe, read
from harness.spec.training_view import TRAINING_DOMAIN, View

__all__ = ["LOSSES", "Recipe", "add", "forward", "read", "strip"]


def strip(model: ModelProto) -> ModelProto:
    """A copy without its recipe, for tools that choke on one or silently drop it. Weights are copied once."""
    copy = _frame(model)
    copy.graph.CopyFrom(model.graph)
    if any(node.domain == TRAINING_DOMAIN for node in model.graph.node):
        copy.opset_import.extend(entry for entry in model.opset_import if entry.domain == TRAINING_DOMAIN)
    return copy


def forward(model: ModelProto, recipe: Recipe) -> tuple[ModelProto, program.Training]:
    """The forward pass of training as a model of its own, and what to do with it.

    Its inputs are those of the model that the loss needs, then the labels; its outputs the loss, then each tensor of
    `recipe.updates`. It has neither Gradient nor optimizer, and no node or initializer that these outputs do not
    need. Initializers are taken over as they are, data in other files included.
    """
    algorithm = model.training_info[0].algorithm
    graphs = (model.graph, algorithm)
    view = View(*graphs)
    targets = [recipe.loss, *recipe.updates.values()]
    needed = view.needed(*targets, *recipe.parameters)
    made = _frame(model)
    graph = made.graph
    graph.name = f"{model.graph.name}_training"
    graph.node.extend(node for node in view.nodes if not needed.isdisjoint(node.output))
    declared = {}
    for part in graphs:
        graph.initializer.extend(tensor for tensor in part.initializer if tensor.name in needed)
        graph.sparse_initializer.extend(tensor for tensor in part.sparse_initializer if tensor.values.name in needed)
        graph.input.extend(value for value in part.input if value.name in needed and value.name in view.inputs)
        declared.update({value.name: value for value in (*part.value_info, *part.output)})
    ends = {*targets, *view.inputs}
    graph.value_info.extend(value for name, value in declared.items() if name in needed and name not in ends)
    for name in targets:
        value = graph.output.add(name=name)
        if name in declared:
            value.CopyFrom(declared[name])
    return made, program.Training(recipe.loss, recipe.parameters, recipe.optimizer, dict(recipe.updates))


def _frame(model: ModelProto) -> ModelProto:
    """All of a model but its graph and its recipe."""
    frame = ModelProto()
    for field, value in model.ListFields():
        if field.name in ("graph", "training_info", "opset_import"):
            continue
        if isinstance(value, (int, str)):
            setattr(frame, field.name, value)
        else:
            getattr(frame, field.name).extend(value)
    frame.opset_import.extend(entry for entry in model.opset_import if entry.domain != TRAINING_DOMAIN)
    return frame
