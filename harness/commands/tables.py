"""What the tables of several subcommands have in common."""

from __future__ import annotations

from collections.abc import Iterable


def by_reason(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(name, reason) pairs as (reason, names): a reason that many share is said once. Empty reasons are left out."""
    found: dict[str, list[str]] = {}
    for name, reason in pairs:
        if reason:
            found.setdefault(reason, []).append(name)
    return list(found.items())
