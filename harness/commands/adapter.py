"""`harness adapter`: begin an adapter, and check one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from harness.paths import ADAPTERS

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


def _home() -> Path:
    """The checkout's adapters/; where the harness was installed from a wheel, the current folder."""
    return Path() if "bundled" in ADAPTERS.parts else ADAPTERS
