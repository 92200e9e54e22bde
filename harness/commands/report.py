"""`harness report`: a run's report, its frames as Parquet and CSV, and a picture if one is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or its name in reports/.", metavar="RUN")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; the run's own folder if not given.", metavar="FOLDER")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the ratios into this .svg or .png file.", metavar="FILE")
    ] = None,
) -> None:
    """Write report.html and report.md of a run.

    The page is one file with everything in it: it needs no network and no script. The run's pandas frames are
    written beside its journal as Parquet and CSV.
    """
    from harness import report as reports
    from harness import results

    loaded = results.load(run)
    written = reports.write(loaded, out)
    if picture is not None:
        written.append(reports.picture(loaded, picture))
    loaded.save()
    for path in written:
        typer.echo(path)
