"""`harness doctor`: what can run here, what cannot, why, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.tables import by_reason

if TYPE_CHECKING:
    from harness.doctor import Check, Diagnosis, Verdict


def doctor(
    adapters: Annotated[
        list[str] | None, typer.Argument(metavar="[ADAPTER]...", help="Adapters; all by default.")
    ] = None,
    adapter_path: Annotated[
        list[Path] | None, typer.Option("--adapter-path", help="A folder with an adapter.toml, or with such folders.")
    ] = None,
) -> None:
    """Say what can run on this machine, what cannot, why, and what to do. Installs nothing."""
    from harness.adapters import pick_adapters
    from harness.doctor import examine

    show(examine(pick_adapters(adapters or [], adapter_path or [])), Console())


def show(diagnosis: Diagnosis, console: Console) -> None:
    console.print(_machine(diagnosis.checks))
    for warning in diagnosis.warnings:
        console.print(Text(f"! {warning}", style="yellow"))
    console.print(_frameworks(diagnosis.verdicts))
    reasons = [(f"{verdict.adapter} {verdict.environment}", verdict.reason) for verdict in diagnosis.verdicts]
    for reason, names in by_reason(reasons):
        console.print(Text.assemble((f"{', '.join(names)}: ", "bold"), reason))
    advice = [(f"{verdict.adapter} {verdict.environment}", verdict.advice) for verdict in diagnosis.verdicts]
    for step, names in by_reason(advice):
        console.print(Text(f"-> {', '.join(names)}: {step}", style="dim"))


def _machine(checks: list[Check]) -> Table:
    table = Table(title="This machine", title_justify="left", show_header=False)
    table.add_column("about", no_wrap=True)
    table.add_column("found", overflow="fold")
    for check in checks:
        found = Text(check.found, style="" if check.ok else "yellow")
        if not check.ok:
            found.append(f"\n-> {check.advice}", style="dim")
        table.add_row(check.about, found)
    return table


def _frameworks(verdicts: list[Verdict]) -> Table:
    table = Table(title="Frameworks", title_justify="left")
    for column in ("adapter", "environment", "scenarios", "can run", "environment is"):
        table.add_column(column, no_wrap=True)
    for verdict in verdicts:
        can = Text("yes", style="green") if verdict.can_run else Text("no", style="red")
        state = "made" if verdict.ready else "to be made" if verdict.can_run else ""
        table.add_row(verdict.adapter, verdict.environment, ", ".join(verdict.scenarios), can, state)
    return table
