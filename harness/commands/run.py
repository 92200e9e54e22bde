"""`harness run`: the main job."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands import options
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.adapters import AdapterSpec
    from harness.journal import Fact, Journal
    from harness.runner import Plan
    from harness.suite import Settings, Suite

#: Rounds of a comparison, where precision or time is what ends them.
_NO_LIMIT = 10_000


def run(
    adapters: Annotated[
        list[str] | None, typer.Argument(help="Adapters to compare. Without: all. `harness list adapters` names them.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="What to compare: quick, standard, or the path of a .toml file.", rich_help_panel="What")
    ] = "quick",
    models: Annotated[
        str | None,
        typer.Option(help="Only these, comma-separated: names of the zoo or .onnx files.", rich_help_panel="What"),
    ] = None,
    scenarios: Annotated[
        str | None, typer.Option(help="Only these; `harness list scenarios` names them.", rich_help_panel="What")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="These batches instead of the suite's: 1,16", rich_help_panel="What")
    ] = None,
    modes: Annotated[
        str | None,
        typer.Option(
            help="Execution modes to compare: eager,compiled. Without: each adapter's default.", rich_help_panel="What"
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="Extent of a free dimension of a model.", rich_help_panel="What"),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="An input that is a setting, not data: sr=16000.", rich_help_panel="What"),
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            help="Number formats to compare: fp32, tf32, bf16, fp16; comma-separated.", rich_help_panel="What"
        ),
    ] = None,
    cudnn: Annotated[
        str | None, typer.Option(help="On a GPU, with and without cuDNN: on,off.", rich_help_panel="What")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: the best that each adapter can use.", rich_help_panel="Where")
    ] = "auto",
    threads: Annotated[
        str | None,
        typer.Option(help="CPU threads for each framework: 1,2,4. Without: all cores.", rich_help_panel="Where"),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="How exactly every ratio shall be known: 1% ends the rounds of a comparison when half of every 95 % "
            "interval is at most that, or when the time for it is spent.",
            rich_help_panel="Time",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time for the rounds of one comparison instead of the suite's.", rich_help_panel="Time"),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADAPTER=PYTHON",
            rich_help_panel="Where",
            help="Use an interpreter that is there instead of making an environment; `torch=current` is the "
            "one that runs the harness.",
        ),
    ] = None,
    adapter_path: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="An adapter that lies elsewhere.", rich_help_panel="Where"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; a date and time if not given.", rich_help_panel="Results")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of all runs.", rich_help_panel="Results")] = Path("reports"),
    seed: Annotated[int, typer.Option(help="For inputs and for the order of turns.", rich_help_panel="Results")] = 0,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Go on with a run that was interrupted.", rich_help_panel="Results"),
    ] = None,
) -> None:
    """Compare frameworks: same models, a fair clock, everything in one report.

    Makes an isolated environment for each framework, checks that all compute the same, times them in interleaved
    rounds, and writes a journal, pandas frames and an HTML page into reports/NAME. What was measured is never lost:
    `--resume` goes on where a run stopped.

    Examples:

        harness run                                     all frameworks, the quick suite

        harness run torch onnxruntime --models resnet18 --batch 1,32

        harness run torch --modes eager,compiled --scenarios train

        harness run --models my.onnx --shape sequence=256
    """
    arguments = {
        "adapters": adapters or [], "suite": suite, "models": models, "scenarios": scenarios, "batch": batch,
        "modes": modes, "precisions": precisions, "cudnn": cudnn, "shape": shape or [], "value": value or [],
        "device": device, "threads": threads, "precision": precision, "seconds": seconds, "env": env or [],
        "adapter_path": [str(path) for path in adapter_path or []], "seed": seed,
    }  # fmt: skip
    if resume is not None:
        _resume(resume, out)
    else:
        folder = out / (name or datetime.now().strftime("%Y-%m-%d-%H%M%S"))
        _start(folder, arguments)


def _start(folder: Path, arguments: dict[str, Any]) -> None:
    """A new run: everything that the user can get wrong is checked before the first thing is made."""
    from harness import __version__
    from harness.journal import Journal
    from harness.measure import machine

    plan = _plan(arguments)
    with Journal.create(folder) as journal:
        journal.append(
            "run",
            name=folder.name,
            harness_version=__version__,
            suite=arguments["suite"],
            seed=arguments["seed"],
            arguments=arguments,
        )
        journal.append("machine", **machine.facts())
        for warning in machine.fitness():
            journal.append("warning", text=warning)
        _carry_out(plan, journal, arguments, [])


def _resume(run: str, out: Path) -> None:
    """Go on with a run, by the arguments that its journal holds."""
    from harness import journal as journals
    from harness import results

    folder = results.find(Path(run) if Path(run).exists() else out / run)
    earlier = journals.read(folder)
    first = next((fact for fact in earlier if fact["kind"] == "run"), None)
    if first is None:
        raise HarnessError(f"{folder}: its journal does not say how it was started", "Start a new run.")
    plan = _plan(first["arguments"])
    with journals.Journal.open(folder) as journal:
        journal.append("resume")
        _carry_out(plan, journal, first["arguments"], earlier)


def _plan(arguments: dict[str, Any]) -> Plan:
    from harness import adapters as known
    from harness import devices
    from harness import suite as suites
    from harness.matrix import expand
    from harness.runner import Plan
    from harness.scenarios.ease import EasePlan

    extra = [Path(path) for path in arguments["adapter_path"]]
    chosen = _chosen(known.all_adapters(extra), arguments["adapters"])
    places = {spec.name: devices.choose(spec, arguments["device"]) for spec in chosen}
    suite = _narrowed(suites.load(arguments["suite"]), arguments, chosen)
    comparisons = expand(suite, chosen, places)
    ease = next((table for table in suite.comparisons if table.scenario == "ease"), None)
    if not comparisons and ease is None:
        raise HarnessError("nothing is left to compare", "Fewer restrictions: look at --models, --scenarios, --modes.")
    shapes = options.extents(arguments["shape"])
    values = options.numbers(arguments.get("value", []))  # journals of older runs have none
    _check_files(suite, shapes, values)
    options.interpreters(arguments["env"], chosen)
    asked = EasePlan(places, ease.thorough or "ease" in options.words(arguments["scenarios"])) if ease else None
    return Plan(comparisons, chosen, suite.settings, arguments["seed"], shapes, values, asked)


def _chosen(known: dict[str, AdapterSpec], wanted: list[str]) -> list[AdapterSpec]:
    """The adapters asked for, or all; and the null adapter in any case: every report shows the harness's own cost."""
    from harness.results import NULL_ADAPTER

    for name in wanted:
        if name not in known:
            raise HarnessError(f"unknown adapter {name!r}", did_you_mean(name, sorted(known)))
    names = wanted or [name for name in known if name != NULL_ADAPTER]
    return [known[name] for name in dict.fromkeys([*names, NULL_ADAPTER]) if name in known]


def _narrowed(suite: Suite, arguments: dict[str, Any], chosen: list[AdapterSpec]) -> Suite:
    """The suite with the command line's models, scenarios, batches, modes and threads instead of its own."""
    from harness import suite as suites
    from harness import zoo
    from harness.scenarios import SCENARIOS
    from harness.spec.precision import PRECISIONS

    scenarios = options.words(arguments["scenarios"])
    for scenario in scenarios:
        if scenario not in SCENARIOS:
            raise HarnessError(f"unknown scenario {scenario!r}", did_you_mean(scenario, SCENARIOS))
    models = tuple(options.words(arguments["models"]))
    for model in models or {model for table in suite.comparisons for model in table.models}:
        if model not in zoo.names() and not Path(model).is_file():
            raise HarnessError(f"unknown model {model!r}", did_you_mean(model, zoo.names()) + ", or an .onnx file")
    modes = tuple(options.words(arguments["modes"]))
    having = sorted({mode for spec in chosen for mode in spec.modes})
    for mode in modes:
        if mode not in having:
            raise HarnessError(f"no chosen adapter has a mode {mode!r}", did_you_mean(mode, having))
    precisions = tuple(options.words(arguments.get("precisions")))  # journals of older runs have none
    for precision in precisions:
        if precision not in PRECISIONS:
            raise HarnessError(f"unknown precision {precision!r}", did_you_mean(precision, PRECISIONS))
    cudnn = options.words(arguments.get("cudnn"))
    for word in cudnn:
        if word not in ("on", "off"):
            raise HarnessError(f"--cudnn {word}: on, off, or both", "For example: --cudnn on,off")
    batches = tuple(_count("--batch", text) for text in options.words(arguments["batch"]))
    threads = tuple(_count("--threads", text) for text in options.words(str(arguments["threads"] or "")))
    tables = [table for table in suite.comparisons if not scenarios or table.scenario in scenarios]
    missing = set(scenarios) - {table.scenario for table in tables}
    if missing:
        having_it = [name for name in suites.names() if _has(suites.load(name), min(missing))]
        raise HarnessError(
            f"suite {suite.name!r} has no scenario {min(missing)!r}", f"Choose --suite {' or '.join(having_it)}."
        )
    narrowed = [
        replace(
            table,
            models=(models or table.models) if table.models and table.scenario != "roof" else table.models,
            batches=(batches or table.batches) if table.scenario != "roof" else table.batches,
            modes=(modes or table.modes),
            precisions=(precisions or table.precisions),
            cudnn=tuple(word == "on" for word in cudnn) or table.cudnn,
            threads=(threads or table.threads),
        )
        for table in tables
    ]
    return replace(suite, comparisons=tuple(narrowed), settings=_timed(suite.settings, arguments))


def _has(suite: Suite, scenario: str) -> bool:
    return any(table.scenario == scenario for table in suite.comparisons)


def _timed(settings: Settings, arguments: dict[str, Any]) -> Settings:
    """The suite's settings with the command line's precision and time."""
    wanted, seconds = arguments.get("precision"), arguments.get("seconds")
    if wanted is not None:
        settings = replace(settings, precision=options.share("--precision", wanted), max_rounds=_NO_LIMIT)
    if seconds is not None:
        if not seconds > 0:
            raise HarnessError(f"--seconds {seconds:g}: the time for a comparison is more than 0")
        settings = replace(settings, comparison_seconds=seconds, max_rounds=_NO_LIMIT)
    return settings


def _check_files(suite: Suite, shapes: dict[str, int], values: dict[str, float]) -> None:
    """Files of the user's must be sound, and every dimension or input that was given must be one of some model."""
    from harness import zoo
    from harness.spec import prepare

    models = {model for table in suite.comparisons for model in table.models}
    loaded = [prepare.find(model) for model in sorted(models) if shapes or values or model not in zoo.names()]
    inputs = {value.name for model in loaded for value in model.proto.graph.input}
    for name in values.keys() - inputs:
        raise HarnessError(
            f"--value {name}: no model of this run has such an input", did_you_mean(name, sorted(inputs))
        )
    free = set().union(*(prepare.free_dimensions(model) for model in loaded))
    for name in shapes.keys() - free:
        raise HarnessError(
            f"--shape {name}: no model of this run has such a dimension", did_you_mean(name, sorted(free))
        )


def _count(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise HarnessError(f"{option} {text}: each is a whole number, 1 or more")
    return int(text)


def _carry_out(plan: Plan, journal: Journal, arguments: dict[str, Any], earlier: list[Fact]) -> None:
    from harness.commands.progress import shown
    from harness.runner import Runner

    folder, begin = journal.path.parent, time.monotonic()
    given = options.interpreters(arguments["env"], plan.adapters)
    try:
        with shown() as progress:
            Runner(plan, journal, options.provider(given, progress.say), progress, earlier).run()
        journal.append("run_end", seconds=time.monotonic() - begin)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            print("\nharness: interrupted. What was measured is kept.", file=sys.stderr)
            print(f"  Go on with: harness run --out {folder.parent} --resume {folder.name}", file=sys.stderr)
        with suppress(HarnessError, OSError):  # what stopped the run is what the user must hear of
            _finish(folder)
        raise
    _finish(folder)
    _check_compared(folder)


def _check_compared(folder: Path) -> None:
    """A run in which no framework could do anything that was asked is an error, though everything is on record."""
    from harness import results

    cells = results.load(folder).cells
    cells = cells[cells.adapter != results.NULL_ADAPTER]
    if len(cells) and cells.status.eq("unsupported").all():
        reasons = "; ".join(f"{row.adapter}: {row.reason}" for row in cells.drop_duplicates("adapter").itertuples())
        raise HarnessError(
            f"no framework could do what was asked: {reasons}", "`harness doctor` says what can run here."
        )


def _finish(folder: Path) -> None:
    """Frames, report and the table in the terminal, of whatever the journal holds by now."""
    from rich.console import Console

    from harness import report as reports
    from harness import results
    from harness.report import terminal

    loaded = results.load(folder)
    loaded.save()
    written = reports.write(loaded, None)
    console = Console()
    console.print(terminal.summary(loaded))
    console.print(f"report: {shlex.quote(str(written[0]))}", highlight=False, soft_wrap=True)
