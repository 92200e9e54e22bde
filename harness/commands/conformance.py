"""`harness conformance`: ONNX's own backend tests through the adapters."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands import options
from harness.errors import HarnessError, did_you_mean

if TYPE_CHECKING:
    from harness.conformance.session import Request

#: Exit code where an adapter gave a wrong answer: for CI.
WRONG = 1


def conformance(
    adapters: Annotated[list[str] | None, typer.Argument(help="Adapters to test. Without: all.")] = None,
    match: Annotated[str, typer.Option(metavar="GLOB", help="Only cases of such names: 'conv*,relu'.")] = "*",
    groups: Annotated[
        str | None,
        typer.Option(
            help="Only these, comma-separated: node, simple, pytorch-operator, pytorch-converted, light, light-random, "
            "gradients."
        ),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run in reports/, or a folder.")] = None,
    modes: Annotated[
        str | None, typer.Option(help="Execution modes: eager,compiled. Without: each adapter's default.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the best that each adapter can use.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads for each framework; 0 for all cores.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one case may take.")] = 60.0,
    env: Annotated[
        list[str] | None, typer.Option(metavar="ADAPTER=PYTHON", help="Use an interpreter that is there.")
    ] = None,
    adapter_path: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="An adapter that lies elsewhere.")
    ] = None,
) -> None:
    """Run ONNX's backend tests through every adapter, and show which answers are right.

    Each case goes the way of any model: specialised, lowered, run. An answer counts only with the right dtype and shape
    and within the case's own tolerance; the gradients of single operators are held against the reference. The results
    are kept as a run: a page (board.html), pandas frames, a journal. Ends with exit code 1 if any answer is wrong.
    """
    arguments = {
        "adapters": adapters or [], "match": match, "groups": groups, "modes": modes, "device": device,
        "threads": threads, "timeout": timeout, "env": env or [], "adapter_path": [str(p) for p in adapter_path or []],
    }  # fmt: skip
    request = _request(arguments)
    folder = Path(out or f"conformance-{datetime.now().strftime('%Y-%m-%d-%H%M%S')}")
    if len(folder.parts) == 1:
        folder = Path("reports") / folder
    if _play(request, folder, arguments):
        raise typer.Exit(WRONG)


def _request(arguments: dict[str, Any]) -> Request:
    """What the arguments ask for. Raises HarnessError for names that do not exist."""
    from harness import devices
    from harness.conformance.session import GROUPS, Request
    from harness.matrix import usable_cores

    extra = [Path(path) for path in arguments["adapter_path"]]
    chosen = options.frameworks(arguments["adapters"], extra)
    groups = tuple(options.words(arguments["groups"])) or GROUPS
    for group in groups:
        if group not in GROUPS:
            raise HarnessError(f"unknown group {group!r}", did_you_mean(group, list(GROUPS)))
    modes = tuple(options.words(arguments["modes"]))
    for spec in chosen:
        for mode in modes:
            if mode not in spec.modes:
                raise HarnessError(f"{spec.name} has no mode {mode!r}", did_you_mean(mode, list(spec.modes)))
    options.interpreters(arguments["env"], chosen)
    return Request(
        adapters=chosen,
        devices={spec.name: devices.choose(spec, arguments["device"]) for spec in chosen},
        modes=modes,
        groups=groups,
        match=arguments["match"],
        threads=arguments["threads"] or usable_cores(),
        timeout=arguments["timeout"],
    )


def _play(request: Request, folder: Path, arguments: dict[str, Any]) -> int:
    """Run it and write everything down; the number of wrong answers."""
    from harness import __version__
    from harness.commands.progress import shown
    from harness.conformance.session import play
    from harness.journal import Journal
    from harness.measure import machine

    given = options.interpreters(arguments["env"], request.adapters)
    try:
        with Journal.create(folder) as journal:
            journal.append("run", name=folder.name, harness_version=__version__, seed=0, arguments=arguments)
            journal.append("machine", **machine.facts())
            with shown() as progress:
                counts = play(request, journal, options.provider(given, progress.say), progress)
            journal.append("run_end")
    finally:
        shutil.rmtree(folder / ".scratch", ignore_errors=True)
        _finish(folder)
    if not counts:
        raise HarnessError("no case was run", f"No case matches {request.match!r}, or no adapter has its environment.")
    return counts["wrong"]


def _finish(folder: Path) -> None:
    from rich.console import Console

    from harness import report as reports
    from harness import results
    from harness.report import terminal

    loaded = results.load(folder)
    loaded.save()
    written = reports.write(loaded)
    console = Console()
    console.print(terminal.board(loaded))
    console.print(f"board: {written[0]}", highlight=False, soft_wrap=True)
