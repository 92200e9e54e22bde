"""ONNX's own cases: nothing may be wrong; what is refused is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from harness import journal as journals
from harness.adapting.findings import Finding, failed, missing, passed
from harness.adapting.subject import Subject
from harness.conformance import gradients
from harness.conformance.session import Request, play
from harness.journal import Journal
from harness.runner import Progress

#: Operators that are named; the rest are counted.
_NAMED = 6

#: Outcomes that are failures, and what the adapter does there.
_FAILURES = {"wrong": "is wrong", "crash": "dies", "timeout": "hangs"}


def check(subject: Subject) -> Iterator[Finding]:
    subject.site()
    for group in ("node", *([gradients.GROUP] if subject.trains else [])):
        yield from _group(subject, group)


def _group(subject: Subject, group: str) -> Iterator[Finding]:
    request = Request(
        adapters=[subject.spec],
        devices={subject.spec.name: subject.device},
        modes=subject.spec.modes[:1],
        groups=(group,),
        match=subject.pace.cases,
        threads=subject.threads,
        timeout=min(60.0, subject.pace.timeout),
    )
    with Journal.create(subject.scratch / f"board-{group}") as journal:
        play(request, journal, subject.provide, Progress())
    facts = [fact for fact in journals.read(journal.path.parent) if fact["kind"] == "conformance"]
    counts = Counter(fact["outcome"] for fact in facts)
    right, wrong = counts["pass"] + counts["folded"], counts["wrong"]
    told = f"{group}: {right} of {len(facts)} pass, {wrong} wrong, {counts['unsupported']} refused{_most(facts)}"
    yield failed(told, subject.source.operators()) if wrong else passed(told)
    for outcome, what in _FAILURES.items():
        yield from _failures(subject, group, [fact for fact in facts if fact["outcome"] == outcome], what)
    errors = [fact for fact in facts if fact["outcome"] == "error"]
    if errors:
        first = errors[0]
        text = f"{group}: {len(errors)} cases raise instead of refusing; first {first['case']}: {first['reason'][:100]}"
        yield missing(text, subject.source.operator(first["operator"]))


def _failures(subject: Subject, group: str, facts: list[dict[str, Any]], what: str) -> Iterator[Finding]:
    """One finding for each of the first operators."""
    by_operator: dict[str, list[dict[str, Any]]] = {}
    for fact in facts:
        by_operator.setdefault(fact["operator"], []).append(fact)
    for operator, cases in list(by_operator.items())[:_NAMED]:
        first = cases[0]
        text = f"{group}: {operator} {what} in {len(cases)} cases; first {first['case']}: {first['reason'][:120]}"
        yield failed(text, subject.source.operator(operator))
    if len(by_operator) > _NAMED:
        rest = list(by_operator)[_NAMED:]
        yield failed(
            f"{group}: so {'are' if what == 'is wrong' else 'do'} {', '.join(rest)}", subject.source.operators()
        )


def _most(facts: list[dict[str, Any]]) -> str:
    """Operators for lack of which most cases are refused; a case may lack several."""
    refused = [
        fact["refused"].split(", ") for fact in facts if fact["outcome"] == "unsupported" and fact.get("refused")
    ]
    most = Counter(name for names in refused for name in names).most_common(_NAMED)
    return f"; most want {', '.join(f'{name} ({count})' for name, count in most)}" if most else ""
