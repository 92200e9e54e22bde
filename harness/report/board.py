"""The conformance board as a page, as Markdown and for the terminal: operator by adapter, and why a case is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from harness.conformance.board import BODY, OUTCOMES, OWN, RULE
from harness.conformance.session import GROUPS
from harness.report import humanise, page
from harness.report.colours import colour
from harness.report.view import Row, adapter_rank, records
from harness.results import Run

#: Outcomes that say nothing against an adapter, nor for it.
QUIET = ("folded", "untold")

#: Names of cases beside a reason before the rest is only counted.
_MOST_CASES = 12


@dataclass
class Tally:
    """Some cases of one contestant: how many of each outcome, and what the hover text says."""

    outcomes: Counter[str] = field(default_factory=Counter)
    roads: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        self.outcomes[row["outcome"]] += 1
        if row["outcome"] == "pass":
            self.roads[row["road"]] += 1
        elif row["outcome"] not in QUIET:
            self.reasons[f"{row['outcome']}: {row['reason']}"] += 1

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())

    @property
    def passed(self) -> int:
        return self.outcomes["pass"]

    @property
    def kind(self) -> str:
        """The worst that is worth a colour: wrong, broken (error, timeout, crash), all, some or none."""
        if self.outcomes["wrong"]:
            return "wrong"
        if any(self.outcomes[name] for name in ("error", "timeout", "crash")):
            return "broken"
        if self.passed + sum(self.outcomes[name] for name in QUIET) == self.total:
            return "all" if self.passed else "folded"
        return "some" if self.passed else "none"

    @property
    def hint(self) -> str:
        return "\n".join(f"{count} x {reason}" for reason, count in self.reasons.most_common(3))


@dataclass(frozen=True)
class Missing:
    """Cases of one contestant that did not pass, for one reason."""

    contestant: str
    outcome: str
    refused: str
    reason: str
    cases: list[str]

    @property
    def shown(self) -> str:
        more = len(self.cases) - _MOST_CASES
        return ", ".join(self.cases[:_MOST_CASES]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Seen:
    """A run's board, put together. operators: {operator: {contestant: its node cases}}."""

    contestants: list[str]
    versions: dict[str, str]
    adapter_of: dict[str, str]
    groups: dict[str, dict[str, Tally]]
    operators: dict[str, dict[str, Tally]]
    missing: list[Missing]

    def total(self, contestant: str) -> Tally:
        whole = Tally()
        for tallies in self.groups.values():
            tally = tallies.get(contestant, Tally())
            whole.outcomes.update(tally.outcomes)
            whole.roads.update(tally.roads)
        return whole


def see(run: Run) -> Seen:
    """The board of a run whose frame `conformance` has rows."""
    rows = records(run.conformance)
    several = {row["adapter"] for row in rows if row["mode"] != _first_mode(rows, row["adapter"])}
    groups: dict[str, dict[str, Tally]] = {name: {} for name in GROUPS if any(row["group"] == name for row in rows)}
    operators: dict[str, dict[str, Tally]] = defaultdict(dict)
    reasons: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    versions: dict[str, str] = {}
    adapter_of: dict[str, str] = {}
    for row in rows:
        name = f"{row['adapter']} {row['mode']}" if row["adapter"] in several else row["adapter"]
        versions[name], adapter_of[name] = row["framework_version"], row["adapter"]
        groups[row["group"]].setdefault(name, Tally()).add(row)
        if row["group"] == "node":
            operators[row["operator"]].setdefault(name, Tally()).add(row)
        if row["outcome"] not in ("pass", *QUIET):
            key = (name, row["outcome"], row["refused"] or "", _general(row["reason"] or "", row["case"]))
            reasons[key].append(row["case"].removeprefix("test_"))
    contestants = sorted(versions, key=lambda name: adapter_rank(adapter_of[name]))
    missing = [Missing(*key, cases) for key, cases in reasons.items()]
    missing.sort(key=lambda one: (contestants.index(one.contestant), OUTCOMES.index(one.outcome), -len(one.cases)))
    return Seen(contestants, versions, adapter_of, groups, dict(sorted(operators.items())), missing)


def _first_mode(rows: list[Row], adapter: str) -> Any:
    return next(row["mode"] for row in rows if row["adapter"] == adapter)


def _general(reason: str, case: str) -> str:
    """A reason without the name of the case's file, so that cases with the same reason come together."""
    return reason.replace(f"{case}.onnx: ", "")


def html(run: Run) -> str:
    """The board as one page: no script, nothing fetched."""
    seen = see(run)
    return (
        page.environment()
        .get_template("board.html.j2")
        .render(
            run=run,
            seen=seen,
            style=Markup(page.style()),
            machine=page.machine(run),
            about=page.about(run),
            warnings=run.warnings,
            outcomes=OUTCOMES,
            roads=(OWN, BODY, RULE),
            wrong=[one for one in seen.missing if one.outcome == "wrong"],
            paint=lambda name: colour(seen.adapter_of[name], seen.adapter_of.values()),
            h=humanise,
        )
    )


def markdown(run: Run) -> str:
    """The totals for a pull request."""
    seen = see(run)
    lines = [
        f"# {run.name}",
        "",
        "| | " + " | ".join(seen.contestants) + " |",
        "|---" * (1 + len(seen.contestants)) + "|",
    ]
    for group, tallies in seen.groups.items():
        figures = [
            f"{tallies[name].passed} / {tallies[name].total}" if name in tallies else humanise.NOTHING
            for name in seen.contestants
        ]
        lines.append(f"| {group} | " + " | ".join(figures) + " |")
    for outcome in OUTCOMES[1:]:
        counts = [str(seen.total(name).outcomes[outcome]) for name in seen.contestants]
        lines.append(f"| {outcome} | " + " | ".join(counts) + " |")
    return "\n".join(lines) + "\n"
