"""What `harness run` ends with: a table per clock scope, and the reason of everything that is not ok."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.conformance.board import OUTCOMES
from harness.report import board as boards
from harness.report import ease, humanise, limits, memory, native, verdicts
from harness.report.markdown import figure
from harness.report.view import Row, Task, View, records, view
from harness.results import Run

_STYLES = {"wrong": "bold white on red", "failed": "red", "timeout": "red", "unsupported": "yellow"}

#: Tasks named beside a reason before the rest is only counted.
_MOST_TASKS = 3


def summary(run: Run) -> RenderableType:
    """Tables and reasons, made for 120 columns."""
    seen = view(run)
    parts: list[RenderableType] = []
    for _, title, _, tasks in seen.scopes():
        parts += [_table(title, tasks, seen), Text()]
    if parts:
        parts.append(_legend(seen))
        told = [verdicts.in_short([task for scope in seen.scopes() for task in scope[3]]), verdicts.waiting(run)]
        parts += [Text(sentence, style="dim") for sentence in told if sentence]
    parts += _native(seen)
    parts += _roofs(seen)
    parts += _ease(run) if run.cells.empty and len(run.ease) else []
    parts += _problems(seen)
    parts += _contradictions(seen)
    parts += _missing(run)
    parts += [Text(f"! {warning}", style="yellow") for warning in run.warnings]
    return Group(*parts)


def _ease(run: Run) -> list[RenderableType]:
    """The overview of ease of use, of a run that measured nothing else; the easiest of each line in green."""
    figures = ease.figures_of(run)
    table = Table(title="Ease of use", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for adapter in figures.adapters:
        table.add_column(adapter, justify="right")
    for line in ease.overview(figures):
        cells = zip(line.texts, line.depths, strict=True)
        table.add_row(line.title, *(Text(text, style="green" if depth == 0 else "") for text, depth in cells))
    return [table]


def gate(run: Run) -> RenderableType:
    """What the gate found: for each cell its status, how far it was from the reference, and what is wrong."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("", "scenario", "mode", "status", "off by", "gradients", "losses", "trained"):
        table.add_column(title, justify="left" if title in ("", "scenario", "mode", "status") else "right")
    for row in records(run.cells):
        facts = row["facts"] or {}
        table.add_row(
            row["adapter"],
            row["scenario"],
            row["mode"],
            Text(row["status"], style=_STYLES.get(row["status"], "green")),
            humanise.error(row["max_relative_error"]),
            humanise.error(facts.get("gradient_error")),
            humanise.error(facts.get("loss_disagreement")),
            humanise.NOTHING if row["parameters_trained"] is None else f"{row['parameters_trained']:,}",
        )
    return Group(table, *_bound(run), *_problems(view(run)), *_missing(run))


def _bound(run: Run) -> list[RenderableType]:
    """The extents that free dimensions took: given, or by default."""
    extents = {name: extent for row in records(run.models) for name, extent in (row["bound"] or {}).items()}
    named = ", ".join(f"{name}={extent}" for name, extent in extents.items())
    return [Text(f"free dimensions: {named}", style="dim")] if named else []


def board(run: Run) -> RenderableType:
    """The conformance board's totals, and every answer that is wrong or broken."""
    seen = boards.see(run)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("passes")
    for name in seen.contestants:
        table.add_column(name, justify="right")
    for group, tallies in seen.groups.items():
        counts = [(tallies[name].passed, tallies[name].total) if name in tallies else None for name in seen.contestants]
        table.add_row(group, *(f"{c[0]} of {c[1]}" if c else humanise.NOTHING for c in counts))
    table.add_section()
    for outcome in OUTCOMES[1:]:
        counted = [seen.total(name).outcomes[outcome] for name in seen.contestants]
        style = _STYLES.get(outcome, "") if any(counted) else "dim"
        table.add_row(Text(outcome, style=style), *(str(count or humanise.NOTHING) for count in counted))
    bad = [one for one in seen.missing if one.outcome != "unsupported"]
    lines = [
        Text.assemble((f"{one.outcome:<12}", _STYLES.get(one.outcome, "red")), f"{one.contestant}: {one.reason}")
        + Text(f"  [{one.shown}]", style="dim")
        for one in bad
    ]
    return Group(table, *lines, *(Text(f"! {warning}", style="yellow") for warning in run.warnings))


def _table(title: str, tasks: list[Task], seen: View) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("")
    for contestant in seen.contestants:
        table.add_column(contestant, justify="right")
    latest = None
    for task in tasks:
        if task.model != latest:
            table.add_row(Text(task.model, style="bold"))
            latest = task.model
        cells = [_cell(task.cells.get(contestant)) for contestant in seen.contestants]
        table.add_row(f"  {task.what.replace(' · batch ', ' x')}", *cells)
    return table


def _cell(row: Row | None) -> Text:
    if row is None:
        return Text(humanise.NOTHING, style="dim")
    if row["status"] != "ok":
        return Text(row["status"], style=_STYLES.get(row["status"], ""))
    return Text(figure(row).replace(humanise.TIMES, "x"), style="green" if row["verdict"] == "faster" else "")


def _legend(seen: View) -> Text:
    baselines = sorted({row["baseline"] for _, _, row in seen.cells() if row["baseline"]})
    against = f" of {', '.join(baselines)}" if baselines else ""
    return Text(
        f"Median of one step ± half its 95 % interval; in brackets the multiple of the time{against}; "
        "≈: the data cannot tell.",
        style="dim",
    )


def _native(seen: View) -> list[RenderableType]:
    """A table per clock scope: each adapter against the hand-written networks of its framework."""
    parts: list[RenderableType] = []
    for scope, lines in native.lines(seen).items():
        table = Table(
            title=f"Against hand-written code ({scope} clock)",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        for title in ("", "network", "by hand", "adapter", "ratio", "95 % interval", "verdict"):
            table.add_column(title, justify="left" if title in ("", "network", "verdict") else "right")
        for line in lines:
            row = line["adapter"]
            table.add_row(
                line["contestant"],
                line["task"].name,
                _cell(line["hand"]),
                _cell({**row, "ratio": None}),
                humanise.ratio(row["ratio"]).replace(humanise.TIMES, "x"),
                humanise.ratio_interval(row["ratio_ci_low"], row["ratio_ci_high"]),
                row["verdict"] or humanise.NOTHING,
            )
        parts += [Text(), table]
    return parts


def _roofs(seen: View) -> list[RenderableType]:
    """What the machine can do at most, and every cell that claims to do more."""
    lines = [f"{roof.kind}: {roof.rate} by {roof.contestant} ({roof.where})" for roof in limits.roofs(seen)]
    beyond = [Text(f"! more than the machine can do: {text}", style="yellow") for text in limits.impossible(seen)]
    return [*(Text(line, style="dim") for line in lines), *beyond]


def _contradictions(seen: View) -> list[RenderableType]:
    return [
        Text.assemble(
            (f"! memory, {sentence}", "yellow"),
            (f"  [{'; '.join(tasks[:_MOST_TASKS])}]", "dim"),
        )
        for sentence, tasks in memory.contradictions(seen)
    ]


def _problems(seen: View) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for problem in seen.problems():
        line = Text()
        line.append(f"{problem.status:<12}", style=_STYLES.get(problem.status, ""))
        line.append(f"{problem.contestant or '?'}: {problem.reason}")
        more = len(problem.tasks) - _MOST_TASKS
        tasks = "; ".join(problem.tasks[:_MOST_TASKS]) + (f"; and {more} more" if more > 0 else "")
        line.append(f"  [{tasks}]", style="dim")
        if problem.log:
            line.append(f"  log: {problem.log}", style="dim")
        lines.append(line)
    return [Text(), *lines] if lines else []


def _missing(run: Run) -> list[RenderableType]:
    return [
        Text.assemble(("not here     ", "yellow"), f"{row['adapter']} ({row['environment']}): {row['reason']}")
        for row in records(run.environments)
        if row["reason"]
    ]
