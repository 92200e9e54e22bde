"""`harness check`: the gate alone, for one model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands import options
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Run
    from harness.runner import Plan

#: Exit code where an adapter is wrong, or fails: for CI.
NOT_OK = 1


def check(
    model: Annotated[str, typer.Argument(help="An .onnx file, or the name of a model of the zoo.")],
    adapters: Annotated[str | None, typer.Option(help="Only these, comma-separated. Without: all.")] = None,
    scenarios: Annotated[
        str | None, typer.Option(help="infer, train. Without: infer, and train where the model has a recipe.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Examples at once; the file's own, or 2 where it leaves it free.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Extent of a free dimension of the model.")
    ] = None,
    value: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="An input that is a setting, not data: sr=16000.")
    ] = None,
    modes: Annotated[str | None, typer.Option(help="Execution modes. Without: each adapter's default.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the best that each adapter can use.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads for each framework; 0 for all cores.")] = 0,
    env: Annotated[
        list[str] | None, typer.Option(metavar="ADAPTER=PYTHON", help="Use an interpreter that is there.")
    ] = None,
    adapter_path: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="An adapter that lies elsewhere.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the run in this folder.", metavar="FOLDER")] = None,
    seed: Annotated[int, typer.Option(help="For the inputs.")] = 0,
) -> None:
    """Have every framework compute a model, and hold what it computes against the reference. Nothing is timed.

    Inference: outputs. Training: loss, gradients, the first step, the first losses. What is wrong is followed to the
    first tensor that leaves tolerance. Ends with exit code 1 unless every adapter that supports the model is right.
    """
    arguments = {
        "model": model, "adapters": adapters, "scenarios": scenarios, "batch": batch, "shape": shape or [],
        "value": value or [],
        "modes": modes, "device": device, "threads": threads, "env": env or [], "seed": seed,
        "adapter_path": [str(path) for path in adapter_path or []],
    }  # fmt: skip
    plan = _plan(arguments)
    if out is not None:
        found = _carry_out(plan, out, arguments)
    else:
        with tempfile.TemporaryDirectory(prefix="harness-check-") as scratch:
            found = _carry_out(plan, Path(scratch) / "check", arguments)
    if not found.cells["status"].isin(["ok", "unsupported"]).all():
        if out is None:
            typer.echo("Logs and journal were not kept; --out FOLDER keeps them.", err=True)
        raise typer.Exit(NOT_OK)
    if not found.cells["status"].eq("ok").any():
        raise HarnessError(
            f"no framework computes {model}: see the reasons above", "`harness doctor` says what can run."
        )


def _plan(arguments: dict[str, Any]) -> Plan:
    from harness import devices
    from harness.matrix import expand
    from harness.runner import Plan
    from harness.spec import model, prepare, training
    from harness.suite import Comparisons, Settings, Suite

    extra = [Path(path) for path in arguments["adapter_path"]]
    chosen = options.frameworks(options.words(arguments["adapters"]), extra)
    options.interpreters(arguments["env"], chosen)
    values = options.numbers(arguments["value"])
    source = model.with_fixed_inputs(prepare.find(arguments["model"]), values)
    shapes = options.extents(arguments["shape"])
    prepare.check_extents(source, shapes)
    scenarios = options.words(arguments["scenarios"]) or ["infer"]
    if not arguments["scenarios"] and training.read(source.proto, str(source.path)) is not None:
        scenarios.append("train")
    for scenario in scenarios:
        if scenario not in ("infer", "train"):
            raise HarnessError(f"--scenarios: {scenario!r} has no gate", "Choose from infer, train.")
    batch = arguments["batch"] or prepare.own_batch(source) or 2
    modes = tuple(options.words(arguments["modes"]))
    threads = (arguments["threads"],)
    tables = tuple(
        Comparisons(scenario, (arguments["model"],), (batch,), modes=modes, threads=threads) for scenario in scenarios
    )
    places = {spec.name: devices.choose(spec, arguments["device"]) for spec in chosen}
    comparisons = expand(Suite("check", "check", Settings(), tables), chosen, places)
    if not comparisons:
        raise HarnessError("nothing is left to check: no adapter has these modes", "Look at `harness list adapters`.")
    return Plan(comparisons, chosen, Settings(), arguments["seed"], shapes, values, gate_only=True)


def _carry_out(plan: Plan, folder: Path, arguments: dict[str, Any]) -> Run:
    from rich.console import Console

    from harness import __version__, results
    from harness.commands.progress import shown
    from harness.journal import Journal
    from harness.report import terminal
    from harness.runner import Runner

    given = options.interpreters(arguments["env"], plan.adapters)
    with Journal.create(folder) as journal, shown() as progress:
        journal.append("run", name=folder.name, harness_version=__version__, seed=plan.seed, arguments=arguments)
        Runner(plan, journal, options.provider(given, progress.say), progress).run()
        journal.append("run_end")
    found = results.load(folder)
    Console().print(terminal.gate(found))
    return found
