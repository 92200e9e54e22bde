"""`harness adapter`: begin an adapter, and check one."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from harness.adapting.findings import FAIL, MISSING, OUTCOMES, PASS, UNTOLD, Finding
from harness.errors import HarnessError
from harness.paths import ADAPTERS

if TYPE_CHECKING:
    from harness.adapters import AdapterSpec

#: Exit code where a check fails: for CI.
NOT_OK = 1

_COLOURS = {PASS: "green", FAIL: "bold red", MISSING: "yellow", UNTOLD: "dim"}

app = typer.Typer(help="Add a framework: begin its adapter, check it. docs/adding-an-adapter.md shows the whole way.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What the adapter is called: small letters, digits, underscores.")],
    style: Annotated[
        str, typer.Option(help="eager: operators are called as they are needed; graph: a graph is built first.")
    ] = "eager",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="ADAPTER", help="Copy the modules of an adapter that is there.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write it. Without: where the other adapters lie.")
    ] = None,
) -> None:
    """Write the folder of a new adapter, which works at once on three operators.

    Examples:

        harness adapter new chainer

        harness adapter new theano --style graph

        harness adapter new mytorch --from torch --into ~/adapters
    """
    from harness.adapters import find_adapter
    from harness.adapting.new import create

    where = into or _home()
    written = create(name, where, style, find_adapter(from_) if from_ else None)
    for path in written:
        typer.echo(path)
    folder = shlex.quote(str(where / name))
    target = name if where.resolve() == ADAPTERS.resolve() else folder
    typer.echo(f"\nNext: harness adapter check {target}")
    typer.echo(f"Then name the framework in {where / name / 'adapter.toml'}, and go on in ops.py.")


@app.command()
def check(
    adapter: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="An adapter, or any folder of one.")],
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PYTHON", help="Use an interpreter that is there.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    only: Annotated[str, typer.Option(metavar="GLOB", help="Only checks of such names: 'options,t*'.")] = "*",
    board: Annotated[bool, typer.Option("--board/--no-board", help="ONNX's own cases, which take minutes.")] = True,
    match: Annotated[str, typer.Option(metavar="GLOB", help="Of the board only cases of such names.")] = "*",
    strict: Annotated[bool, typer.Option("--strict", help="What is missing is a failure too.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one request to the worker.")] = 120.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to look for leaks, in loads and in steps.")] = 15.0,
    adapter_path: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Where to look for NAME, too.")
    ] = None,
) -> None:
    """Check that an adapter does what every adapter has to do, and say which file and line to open where it does not.

    Right answers, options honoured or refused, threads as asked, nothing remembered, no leak, a clean end, ONNX's own
    cases, locks and programs. Ends with exit code 1 if a check fails.

    Examples:

        harness adapter check torch --no-board

        harness adapter check ~/adapters/mytorch --env mytorch=current --only 'answers,options'
    """
    from rich.console import Console

    from harness import devices
    from harness.adapting import kit
    from harness.adapting.checks import BOARD
    from harness.adapting.subject import Pace
    from harness.commands import options
    from harness.commands.progress import shown

    spec = _adapter(adapter, adapter_path or [])
    names = kit.chosen(only, without=() if board else (BOARD,))
    given = options.interpreters(env or [], [spec])
    place = devices.choose(spec, device)
    with tempfile.TemporaryDirectory(prefix="harness-adapter-") as scratch, shown() as progress:
        provide = options.provider(given, progress.say)
        pace = Pace(timeout=timeout, lasting_seconds=seconds, cases=match)
        with kit.opened(spec, provide, place, Path(scratch), pace) as subject:
            findings = list(kit.examine(subject, names, progress))
    Console().print(_table(spec.title, findings))
    counts = Counter(finding.outcome for finding in findings)
    typer.echo("\n" + ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]))
    if counts[FAIL] or (strict and counts[MISSING]):
        raise typer.Exit(NOT_OK)


def _adapter(adapter: str, extra: list[Path]) -> AdapterSpec:
    """An adapter by name, or by its folder. Raises HarnessError for the one that computes nothing."""
    from harness.adapters import find_adapter, read_adapter
    from harness.results import NULL_ADAPTER

    folder = Path(adapter).expanduser()
    is_folder = os.sep in adapter or (folder / "adapter.toml").is_file()
    spec = read_adapter(folder.resolve()) if is_folder else find_adapter(adapter, extra)
    if spec.name == NULL_ADAPTER:
        raise HarnessError("the null adapter computes nothing, by design", "Name the adapter of a framework.")
    return spec


def _table(title: str, findings: list[Finding]) -> Table:
    table = Table(title=f"{title}: the conformance kit", title_justify="left", box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=3)
    table.add_column("open", overflow="fold", ratio=1)
    last = ""
    for finding in findings:
        colour = _COLOURS[finding.outcome]
        row = (escape(finding.text), escape(finding.where))
        table.add_row("" if finding.check == last else finding.check, f"[{colour}]{finding.outcome}[/{colour}]", *row)
        last = finding.check
    return table


def _home() -> Path:
    """The checkout's adapters/; where the harness was installed from a wheel, the current folder."""
    return Path() if "bundled" in ADAPTERS.parts else ADAPTERS
