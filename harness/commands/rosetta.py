"""`harness rosetta`: a framework's programs and mistakes, run and judged."""

from __future__ import annotations

import fnmatch
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.commands import options
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.ease.mistakes import Diagnosis
    from harness.ease.programs import Attempt

#: Outcomes that the author of a program has to do something about.
_BAD = ("wrong", "failed", "unwritten")


def rosetta(
    adapter: Annotated[str, typer.Argument(help="The adapter whose rosetta/ is run.")],
    match: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only programs and mistakes of these names.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Also print the assignment, and all that was printed.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    timeout: Annotated[float, typer.Option(help="Seconds for one program.")] = 300.0,
    env: Annotated[
        list[str] | None, typer.Option(metavar="ADAPTER=PYTHON", help="Use an interpreter that is there.")
    ] = None,
    adapter_path: Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help="An adapter elsewhere.")] = None,
) -> None:
    """Run a framework's Rosetta programs and its planted mistakes, and say how each came out.

    Ends with code 1 if a program computes something else than it should, fails, or is not there.
    """
    from harness.adapters import find_adapter
    from harness.ease import mistakes, programs, tasks
    from harness.matrix import usable_cores

    spec = find_adapter(adapter, adapter_path or [])
    patterns = match or ["*"]
    wanted_tasks = [task for task in programs.asked_of(spec) if _matches(task.name, patterns)]
    known = mistakes.read()
    wanted_mistakes = [name for name in known if _matches(name, patterns)]
    if not wanted_tasks and not wanted_mistakes:
        raise HarnessError(f"--match {patterns[0]}: no such task", did_you_mean(patterns[0], [*tasks.TASKS, *known]))
    provide = options.provider(options.interpreters(env or [], [spec]), lambda text: None)
    places = {purpose: provide(spec, device, purpose) for purpose in spec.scenarios}
    console, attempts, diagnoses = Console(soft_wrap=False), [], []
    with tempfile.TemporaryDirectory(prefix="harness-rosetta-") as scratch:
        for task in wanted_tasks:
            attempt = programs.run(spec, task, places[task.purpose], Path(scratch), usable_cores(), timeout)
            attempts.append(attempt)
            if show:
                console.print(f"[bold]{task.name}[/bold]\n{task.about}", highlight=False)
                console.print(attempt.log, markup=False, highlight=False)
        if wanted_mistakes:
            for diagnosis in mistakes.run_all(spec, places, Path(scratch), timeout, wanted_mistakes):
                diagnoses.append(diagnosis)
                if show:
                    console.print(
                        f"[bold]{diagnosis.mistake}[/bold]\n{known[diagnosis.mistake].about}", highlight=False
                    )
                    console.print(diagnosis.traceback, markup=False, highlight=False)
    if attempts:
        console.print(_programs(attempts))
    if diagnoses:
        console.print(_mistakes(diagnoses))
    if any(one.outcome in _BAD for one in attempts) or any(one.way == "unwritten" for one in diagnoses):
        raise typer.Exit(1)


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _programs(attempts: list[Attempt]) -> Table:
    table = Table("program", "outcome", "seconds", "warnings", "reason", box=None, pad_edge=False)
    for one in attempts:
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        table.add_row(one.task, one.outcome, seconds, str(one.warnings or ""), one.reason)
    return table


def _mistakes(diagnoses: list[Diagnosis]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for column in ("mistake", "way", "moment", "names", "shapes", "line", "lines", "frames", "yours"):
        table.add_column(column, no_wrap=True, min_width=len(column))
    table.add_column("message", no_wrap=True, ratio=1)
    for one in diagnoses:
        lines = (one.message or one.reason).strip().splitlines() or [""]
        told = next((line for line in lines if not line.startswith("Traceback ")), "")
        table.add_row(
            *(one.mistake, one.way, one.moment if one.caught else ""),
            *(_yes(one.names_operator), _yes(one.names_shapes), _yes(one.names_line)),
            *(str(one.lines or ""), str(one.frames or ""), str(one.user_frames or ""), told),
        )
    return table


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "-", None: ""}[value]
