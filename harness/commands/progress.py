"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from harness.runner import Progress


class Shown(Progress):
    """Progress as a bar on the terminal, and as plain lines where there is none."""

    def __init__(self, bar: RichProgress, console: Console):
        self._bar, self._console = bar, console
        self._task = bar.add_task("starting", total=None)

    def begin(self, steps: int) -> None:
        self._bar.update(self._task, total=steps)

    def say(self, text: str) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, description=text)
        else:
            self._console.print(text, highlight=False, soft_wrap=True)

    def done(self, steps: int = 1) -> None:
        self._bar.advance(self._task, steps)


@contextmanager
def shown() -> Iterator[Shown]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Shown(bar, console)
