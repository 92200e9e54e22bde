"""Reading what several commands take in the same way."""

from __future__ import annotations

from harness.errors import HarnessError


def pairs(given: list[str], option: str) -> dict[str, str]:
    """`name=value` arguments as a dictionary."""
    result = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise HarnessError(f"{option} {text}: not of the form NAME=VALUE", f"For example: {option} batch=8")
        result[name] = value
    return result


def extents(given: list[str], option: str = "--shape") -> dict[str, int]:
    """`name=extent` arguments: free dimensions and their extents, each at least 1."""
    result = {}
    for name, text in pairs(given, option).items():
        if not text.isdecimal() or int(text) < 1:
            raise HarnessError(f"{option} {name}={text}: an extent is a whole number, 1 or more")
        result[name] = int(text)
    return result


def words(text: str | None) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]
