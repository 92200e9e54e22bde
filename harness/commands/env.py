"""`harness env`: the environments that adapters run in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import environments
from harness.adapters import AdapterSpec, pick_adapters
from harness.commands.tables import by_reason
from harness.environments import EnvironmentFailed, Listed
from harness.errors import HarnessError, did_you_mean
from harness.paths import home

app = typer.Typer(help="Make, list and remove the environments that adapters run in; lock what they hold.")

Names = Annotated[list[str] | None, typer.Argument(metavar="[ADAPTER]...", help="Adapters; all where none is named.")]
Device = Annotated[str | None, typer.Option(help="Only environments for this device: cpu or cuda.")]
AdapterPaths = Annotated[
    list[Path] | None, typer.Option("--adapter-path", help="A folder with an adapter.toml, or with such folders.")
]

_COLOURS = {"made": "green", "absent": "yellow", "impossible": "red", "stale": "magenta"}


def _picked(names: list[str] | None, device: str | None, paths: list[Path] | None) -> list[AdapterSpec]:
    if device not in (None, "cpu", "cuda"):
        raise HarnessError(f"no device is called {device!r}", did_you_mean(str(device), ["cpu", "cuda"]))
    return pick_adapters(names or [], paths or [])


@app.command("list")
def list_(adapters: Names = None, device: Device = None, adapter_path: AdapterPaths = None) -> None:
    """Show every environment: whether it is made, can be made or cannot, and what it takes on disk.

    States: made; absent (made when it is needed, or by `harness env sync`); impossible on this machine;
    stale (made from a lock that has changed: `harness env remove --stale`).
    """
    rows = environments.listing(_picked(adapters, device, adapter_path), device)
    console = Console()
    console.print(_table(rows))
    reasons = [(f"{row.adapter} {row.environment} ({row.state})", row.reason) for row in rows]
    for reason, names in by_reason(reasons):
        console.print(Text.assemble((f"{', '.join(names)}: ", "bold"), reason))


@app.command()
def sync(adapters: Names = None, device: Device = "cpu", adapter_path: AdapterPaths = None) -> None:
    """Make the environments that are not there yet. A framework that cannot be had here does not stop the others."""
    console = Console()
    picked, failed = _picked(adapters, device, adapter_path), 0
    for adapter in picked:
        for spec in adapter.environments:
            if spec.device != device:
                continue
            title = f"{adapter.name} {spec.name}"
            try:
                with console.status(f"{title}: installing"):
                    made = environments.ensure(adapter, spec.device, spec.scenarios[0])
            except EnvironmentFailed as failure:
                failed += 1
                console.print(f"[red]{title}: {failure.reason}[/red]", highlight=False)
                console.print(failure.advice, style="dim", highlight=False, soft_wrap=True)
                continue
            took = f"made in {made.install_seconds:.1f} s" if made.freshly_made else "there already"
            console.print(
                f"[green]{title}[/green]: {took}, Python {made.python_version}, {made.lock}, "
                f"{len(made.packages)} packages, {made.bytes_on_disk / 1e6:.0f} MB",
                highlight=False,
                soft_wrap=True,
            )
    if failed:
        raise typer.Exit(2)


@app.command()
def remove(
    adapters: Names = None,
    device: Device = None,
    all_: Annotated[bool, typer.Option("--all", help="Remove those of all adapters.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Remove only stale ones.")] = False,
    adapter_path: AdapterPaths = None,
) -> None:
    """Remove environments of the named adapters, of all of them (--all), or stale ones (--stale)."""
    if not adapters and not all_ and not stale:
        raise HarnessError("nothing to remove is named", "Name adapters, or say --all or --stale.")
    removed = environments.remove(_picked(adapters, device, adapter_path), device, only_stale=stale)
    size = sum(row.bytes_on_disk or 0 for row in removed)
    Console().print(f"{len(removed)} removed, {size / 1e6:.0f} MB", highlight=False)


@app.command()
def lock(
    adapters: Names = None,
    device: Device = None,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Take the newest versions that fit.")] = False,
    adapter_path: AdapterPaths = None,
) -> None:
    """Resolve the requirements of adapter.toml into lock files: all packages, their versions and hashes, no addresses.

    A lock file whose requirements cannot be resolved here stays as it is.
    """
    console, failed = Console(), 0
    for adapter in _picked(adapters, device, adapter_path):
        for spec in adapter.environments:
            if device not in (None, spec.device):
                continue
            for file in spec.locks:
                title = f"{adapter.name}/{file.name}"
                try:
                    with console.status(f"{title}: resolving"):
                        changed = environments.lock(adapter, spec, file, upgrade)
                except EnvironmentFailed as failure:
                    failed += 1
                    console.print(f"[red]{title}: left as it is. {failure.reason}[/red]", highlight=False)
                    console.print(failure.advice, style="dim", highlight=False, soft_wrap=True)
                    continue
                console.print(f"{title}: {'[green]changed[/green]' if changed else 'unchanged'}", highlight=False)
    if failed:
        raise typer.Exit(2)


def _table(rows: list[Listed]) -> Table:
    table = Table(title=f"Environments in {home() / 'environments'}", title_justify="left")
    for column in ("adapter", "environment", "state", "Python", "lock", "MB"):
        table.add_column(column, justify="right" if column == "MB" else "left", no_wrap=True)
    for row in rows:
        size = "" if row.bytes_on_disk is None else f"{row.bytes_on_disk / 1e6:.0f}"
        table.add_row(row.adapter, row.environment, Text(row.state, _COLOURS[row.state]), row.python, row.lock, size)
    return table
