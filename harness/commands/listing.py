"""`harness list`: what there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="List adapters, models, scenarios, suites or runs.", no_args_is_help=True)


def _print(title: str, columns: list[str], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@app.command()
def adapters(
    long: Annotated[bool, typer.Option("--long", help="Also modes, lineage and the size of each folder.")] = False,
    adapter_path: Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help="An adapter elsewhere.")] = None,
) -> None:
    """The frameworks that can be compared."""
    from harness.adapters import all_adapters
    from harness.ease import effort

    columns = ["name", "title", "devices", "scenarios"]
    columns += ["modes", "origin", "status", *(f"{part} lines" for part in effort.PARTS)] if long else []
    rows: list[tuple[str, ...]] = []
    for spec in all_adapters(adapter_path or []).values():
        row: tuple[str, ...] = (spec.name, spec.title, ", ".join(spec.devices), ", ".join(spec.scenarios))
        if long:
            lines = [str(count) for count in effort.sizes(spec.folder).values()]
            row += (", ".join(spec.modes), spec.lineage.origin, spec.lineage.status, *lines)
        rows.append(row)
    _print("Adapters", columns, rows)


@app.command()
def models() -> None:
    """The model zoo. Any other .onnx file can be used by its path."""
    from harness import zoo

    _print("Models", ["name", "what it is"], [(name, zoo.describe(name)) for name in zoo.names()])


@app.command()
def scenarios() -> None:
    """What can be measured."""
    from harness.scenarios import TITLES

    _print("Scenarios", ["name", "what is measured"], list(TITLES.items()))


@app.command()
def suites() -> None:
    """Which comparisons `harness run --suite` knows."""
    from harness import suite

    _print("Suites", ["name", "what it compares"], [(name, suite.load(name).title) for name in suite.names()])


@app.command()
def runs(out: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("reports")) -> None:
    """The runs in a folder, and how far each came."""
    from harness import journal
    from harness.errors import HarnessError

    rows: list[tuple[str, ...]] = []
    for file in sorted(out.glob(f"*/{journal.FILE_NAME}")):
        try:
            facts = journal.read(file.parent)
        except HarnessError as error:
            rows.append((file.parent.name, "", "", error.what))
            continue
        start = next((fact for fact in facts if fact["kind"] == "run"), {})
        cells = {fact["cell"]: fact.get("status") for fact in facts if fact["kind"] == "cell"}
        complete = any(fact["kind"] == "run_end" for fact in facts)
        ok = sum(status == "ok" for status in cells.values())
        state = f"{ok} of {len(cells)} cells ok" + ("" if complete else "; interrupted, --resume goes on")
        rows.append((file.parent.name, str(start.get("suite", "")), str(start.get("at", ""))[:19], state))
    _print(f"Runs in {out}", ["name", "suite", "started", "state"], rows)
