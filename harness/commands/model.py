"""`harness model`: look at an ONNX file, and give it a training recipe."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands import options
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.kit import Optimizer, Program
    from harness.spec.prepare import Workload

app = typer.Typer(help="Look at a model, or give it a training recipe.", no_args_is_help=True)

Shapes = Annotated[list[str], typer.Option("--shape", metavar="NAME=N", help="Extent of a free dimension.")]


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="An .onnx file, or the name of a model of the zoo.")],
    batch: Annotated[int | None, typer.Option(min=1, help="Examples at once; 1 where the file leaves it free.")] = None,
    shape: Shapes = [],  # noqa: B006
    value: Annotated[
        list[str], typer.Option(metavar="NAME=N", help="An input that is a setting, not data: sr=16000.")
    ] = [],  # noqa: B006
) -> None:
    """What a model is: inputs, operators, parameters, FLOPs, activations, training."""
    from rich.console import Console
    from rich.text import Text

    from harness.spec import prepare, training
    from harness.spec.model import with_fixed_inputs
    from harness.spec.prepare import Workload

    model = with_fixed_inputs(prepare.find(file), options.numbers(value))
    forward = Workload(model, "infer", batch, 0, options.extents(shape))
    facts = _facts(forward)
    recipe = training.read(model.proto, str(model.path))
    if recipe is None:
        facts.append(("training", "none; `harness model train` adds a recipe"))
    else:
        learning = Workload(model, "train", batch, 0, options.extents(shape))
        facts += _training_facts(learning.program, recipe.loss_operator, learning.cost.parameters)
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{model.name}  {model.path}", style="bold"))
    for name, fact in facts:
        console.print(Text(f"{name:<20}", style="dim") + Text(fact))


def _facts(workload: Workload) -> list[tuple[str, str]]:
    program, cost = workload.program, workload.cost
    counts = Counter(node.op for node in program.nodes)
    bound = ", ".join(f"{name}={extent}" for name, extent in workload.specialised.bound.items())
    return [
        ("sha256", workload.model.sha256),
        ("opset", str(program.opset)),
        *(("input", f"{t.name} {t.dtype}{list(t.shape)}") for t in program.inputs),
        *(("output", f"{t.name} {t.dtype}{list(t.shape)}") for t in program.outputs),
        ("free dimensions", bound or "none"),
        ("operators", ", ".join(f"{op} x{count}" for op, count in counts.most_common())),
        ("weights", f"{cost.parameters:,} elements, {cost.weight_bytes / 1e6:,.2f} MB"),
        ("FLOPs", f"{cost.flops:,} of one forward pass at this batch"),
        ("activations", f"{cost.activation_bytes / 1e6:,.2f} MB made by one forward pass"),
    ]


def _training_facts(program: Program, loss: str, parameters: int) -> list[tuple[str, str]]:
    assert program.training is not None
    optimizer = program.training.optimizer
    given = ", ".join(f"{name}={value}" for name, value in optimizer.attributes.items())
    labels = ", ".join(f"{t.name} {t.dtype}{list(t.shape)}" for t in program.inputs)
    return [
        ("training", f"{loss}, {optimizer.op} (learning rate {optimizer.learning_rate:g}, {given})"),
        ("training inputs", labels),
        ("trained", f"{parameters:,} elements in {len(program.training.parameters)} tensors"),
        ("running statistics", str(len(program.training.updates))),
    ]


@app.command()
def train(
    file: Annotated[str, typer.Argument(help="An .onnx file, or the name of a model of the zoo.")],
    loss: Annotated[str, typer.Option(help="softmax-cross-entropy, negative-log-likelihood or mean-squared-error.")],
    optimizer: Annotated[str, typer.Option(help="Momentum, Adam or Adagrad.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The new .onnx file; NAME-train.onnx here if not given.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="The optimizer's R.")] = 0.01,
    attribute: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="An attribute of the optimizer: alpha=0.9")
    ] = [],  # noqa: B006
    tensor: Annotated[str | None, typer.Option(help="The output from which the loss is computed.")] = None,
    parameters: Annotated[
        str | None, typer.Option(help="Which initializers train: comma-separated globs. Without: all weights.")
    ] = None,
) -> None:
    """Write a copy of an inference model that has a training recipe: loss, optimizer, and what they update."""
    from harness import zoo
    from harness.spec import training
    from harness.spec.model import load, with_weights
    from harness.spec.prepare import find
    from harness.spec.specialise import lift

    model = find(file)
    output = output or Path(f"{model.name}-train.onnx")
    recipe = _optimizer(optimizer, learning_rate, options.pairs(attribute, "--set"))
    lifted = lift(training.strip(model.proto), str(model.path))
    globs = options.words(parameters) or None
    trained = training.add(lifted, loss, recipe, output=tensor, parameters=globs, source=str(model.path))
    try:
        zoo.save(with_weights(trained, model.weights), output)
    except OSError as error:
        raise HarnessError(f"{output}: cannot be written: {error.strerror}", "Choose another place.") from None
    written = training.read(load(output).proto, str(output))
    assert written is not None
    typer.echo(f"{output}: {written.loss_operator}, {recipe.op}, {len(written.parameters)} tensors train")


def _optimizer(op: str, learning_rate: float, given: dict[str, str]) -> Optimizer:
    from harness.kit import Optimizer
    from harness.spec.optimizers import KINDS, filled

    known = {name.lower(): name for name in KINDS}
    if op.lower() not in known:
        raise HarnessError(f"unknown optimizer {op!r}", did_you_mean(op, list(KINDS)))
    values: dict[str, float | str] = {}
    for name, text in given.items():
        try:
            values[name] = text if name == "mode" else float(text)
        except ValueError:
            raise HarnessError(f"--set {name}={text}: not a number") from None
    return Optimizer(known[op.lower()], learning_rate, filled(known[op.lower()], values))
