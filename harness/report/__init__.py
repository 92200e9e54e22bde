"""Reports of a run: an HTML page, Markdown for a pull request, one picture, and a summary for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Run

__all__ = ["picture", "write"]


def write(run: Run, folder: Path | str | None = None) -> list[Path]:
    """Write the pages of a run into a folder, by default the run's own; the paths written.

    report.html and report.md are about what was timed, ease.html about ease of use, board.html and board.md about a
    conformance board, each where there is any.
    """
    from harness.report import board, ease, markdown, page
    from harness.results import write_atomically

    target = Path(folder) if folder is not None else run.path
    texts: dict[str, str] = {}
    if len(run.cells) or (run.conformance.empty and run.ease.empty):
        texts |= {"report.html": page.html(run), "report.md": markdown.markdown(run)}
    if len(run.ease):
        texts |= {"ease.html": ease.html(run)}
    if len(run.conformance):
        texts |= {"board.html": board.html(run), "board.md": board.markdown(run)}
    for name, text in texts.items():
        write_atomically(target / name, lambda file, text=text: file.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return [target / name for name in texts]


def picture(run: Run, path: Path | str) -> Path:
    """Draw the ratios of every model by one clock (the first that the run has: device, call, ...) as .svg or .png.

    Raises HarnessError where the run has nothing to draw, or the name has another ending.
    """
    from harness.report import charts
    from harness.report.view import view
    from harness.results import write_atomically

    path = Path(path)
    if path.suffix not in (".svg", ".png"):
        raise HarnessError(f"{path} is neither .svg nor .png", "Choose one of these endings.")
    seen = view(run)
    scopes = seen.scopes()
    if not scopes:
        raise HarnessError(f"The run {run.name!r} has no cell to draw", "Look at its journal.")
    drawing = charts.picture(scopes[0][3], seen)
    write_atomically(path, lambda file: charts.save(drawing, file))
    return path
