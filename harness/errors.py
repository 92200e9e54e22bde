"""The one error that a user sees: what was wrong, where, and what to do about it."""

from __future__ import annotations


class HarnessError(Exception):
    """Something the user can put right. The command line prints it and ends with exit code 2.

    what: what was wrong and where (file, node, operator, adapter). advice: what to do about it.
    """

    def __init__(self, what: str, advice: str = ""):
        super().__init__(what)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what}\n{self.advice}" if self.advice else self.what


def did_you_mean(word: str, known: list[str]) -> str:
    """Advice for a mistyped name: the closest known one, and the list."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    listing = "known: " + ", ".join(known) if known else "none is known"
    return f"Did you mean {close[0]!r}? ({listing})" if close else listing.capitalize()
