"""What a check of an adapter has found: one line of the table."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, MISSING, UNTOLD = "pass", "FAIL", "missing", "untold"

#: What can become of a check. missing: nothing is wrong, but something is not there yet. untold: it could not be looked
#: at.
OUTCOMES = (PASS, FAIL, MISSING, UNTOLD)


@dataclass(frozen=True)
class Finding:
    """One line of the table. where: the file to open, and the line after a colon. check: filled in by the kit."""

    outcome: str
    text: str
    where: str = ""
    check: str = ""


class Unable(Exception):
    """A check has nothing to look at: why."""


def passed(text: str) -> Finding:
    return Finding(PASS, text)


def failed(text: str, where: str) -> Finding:
    return Finding(FAIL, text, where)


def missing(text: str, where: str) -> Finding:
    return Finding(MISSING, text, where)


def untold(text: str, where: str = "") -> Finding:
    return Finding(UNTOLD, text, where)
