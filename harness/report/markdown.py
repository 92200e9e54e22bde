"""Markdown for a pull request: what was measured, where, and everything that is not ok."""

from __future__ import annotations

from harness.measure import statistics
from harness.report import humanise, limits, memory, native, page, ran, settling, verdicts
from harness.report.view import Row, records, view
from harness.results import Run


def markdown(run: Run) -> str:
    """The report of a run in GitHub's Markdown."""
    seen = view(run)
    what_ran = ran.lines(run, seen)
    template = page.environment().get_template("report.md.j2")
    return template.render(
        run=run,
        cell=_cell,
        plain=lambda row: _cell({**row, "ratio": None}),
        text=_escaped,
        headline=page.headline(run, seen),
        warnings=page.all_warnings(run),
        machine=page.machine(run),
        about=page.about(run),
        contestants=seen.contestants,
        scopes=seen.scopes(),
        waiting=verdicts.waiting(run),
        undecided=verdicts.undecided([task for scope in seen.scopes() for task in scope[3]]),
        scores=page.scores(seen),
        problems=seen.problems(),
        h=humanise,
        why=verdicts.why,
        native=native.lines(seen),
        roofs=limits.roofs(seen),
        limits=limits.shown(seen),
        impossible=limits.impossible(seen),
        settling=settling.lines(run, seen),
        contradictions=memory.contradictions(seen),
        ran=what_ran,
        differing=ran.differing(what_ran),
        environments=[row for row in records(run.environments) if row["reason"]],
        minimum_rounds=statistics.MINIMUM_ROUNDS,
    )


def _cell(row: Row | None) -> str:
    """A cell in a table: its figure, or its status in bold where it is not ok."""
    if row is None:
        return humanise.NOTHING
    return figure(row) if row["status"] == "ok" else f"**{row['status']}**"


def figure(row: Row) -> str:
    """Median, half of its interval, ratio: "12.3 ms ±3% (1.05x)", or (≈1.05x) where the verdict is "cannot tell"."""
    words = [
        humanise.duration(row["median_ns"]),
        humanise.spread(row["median_ns"], row["ci_low_ns"], row["ci_high_ns"]),
    ]
    if row["ratio"] is not None and row["verdict"] != "baseline":
        words.append(f"({'≈' if row['verdict'] == 'cannot tell' else ''}{humanise.ratio(row['ratio'])})")
    return " ".join(word for word in words if word)


def _escaped(value: object) -> str:
    """Text that cannot break out of a table's cell or turn into markup."""
    text = " ".join(str(value).split())
    for character in "\\`*_[]<>|#~":
        text = text.replace(character, f"\\{character}")
    return text
