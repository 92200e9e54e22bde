"""The `harness` command: mounts the commands, and turns errors into one clear message and an exit code."""

from __future__ import annotations

import errno
import sys

import typer

from harness.commands import adapter, check, conformance, doctor, env, listing, model, report, rosetta, run
from harness.errors import HarnessError

app = typer.Typer(
    help="Compare deep-learning frameworks: one ONNX model, every framework, a fair clock.",
    epilog="Start with `harness run`: it makes the environments, compares, and writes a report. "
    "`harness doctor` says what can run here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(run.run)
app.command()(report.report)
app.command()(check.check)
app.command()(conformance.conformance)
app.command()(rosetta.rosetta)
app.add_typer(model.app, name="model")
app.add_typer(env.app, name="env")
app.add_typer(adapter.app, name="adapter")
app.add_typer(listing.app, name="list")
app.command()(doctor.doctor)

#: Exit code for everything that the user can put right.
BAD_INPUT = 2

#: Exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


def main() -> None:
    """Entry point. Bad input ends with exit code 2 and no traceback."""
    try:
        app()
    except HarnessError as error:
        print(f"harness: {error.what}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"harness: the disk is full: {error.filename or 'while writing'}", file=sys.stderr)
        print("  Make room, or name a folder on another disk in HARNESS_HOME; --resume goes on.", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
