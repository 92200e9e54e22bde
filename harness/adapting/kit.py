"""Run the checks on an adapter, and name what its worker does to them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.adapting.checks import CHECKS
from harness.adapting.findings import Finding, Unable, failed, untold
from harness.adapting.subject import Pace, Subject
from harness.errors import HarnessError, did_you_mean
from harness.journal import Journal
from harness.kit import wire
from harness.runner import Progress
from harness.sites import Provider, Sites
from harness.worker import WorkerFailed

#: The method of an adapter that answers a request, where it is not called as the request.
_METHODS = {"hello": "version", "train": "train_step", "warm_up": "synchronize", "late_work": "synchronize"}


@contextmanager
def opened(
    spec: AdapterSpec, provide: Provider, device: str, scratch: Path, pace: Pace | None = None
) -> Iterator[Subject]:
    """An adapter ready to be checked."""
    pace = pace or Pace()
    with Journal.create(scratch / "check") as journal:
        sites = Sites(journal, provide, scratch / "logs", pace.timeout)
        subject = Subject(spec, sites, provide, device, scratch, pace)
        try:
            yield subject
        finally:
            subject.close()


def chosen(only: str, without: tuple[str, ...] = ()) -> list[str]:
    """Names of checks. only: a glob, or several with commas between. Raises HarnessError where none fits."""
    globs = [glob.strip() for glob in only.split(",")]
    names = [name for name in CHECKS if any(fnmatch.fnmatch(name, glob) for glob in globs) and name not in without]
    if not names:
        raise HarnessError(f"no check is called {only!r}", did_you_mean(only, list(CHECKS)))
    return names


def examine(subject: Subject, names: list[str], progress: Progress | None = None) -> Iterator[Finding]:
    """The findings of some checks, in their order."""
    progress = progress or Progress()
    progress.begin(len(names))
    for name in names:
        progress.say(name)
        try:
            for finding in CHECKS[name](subject):
                yield replace(finding, check=name)
        except Unable as reason:
            yield replace(untold(str(reason)), check=name)
        except HarnessError as error:
            yield replace(untold(error.what), check=name)
        except WorkerFailed as failure:
            yield replace(named(subject, failure), check=name)
        progress.done()


def named(subject: Subject, failure: WorkerFailed) -> Finding:
    """What a worker did instead of answering, as a finding."""
    request = failure.reason.partition(":")[0]
    where = subject.source.method(_METHODS.get(request, request))
    if failure.kind == "timeout":
        what = "hangs"
    elif failure.alive:
        what = "refuses what it has done before" if failure.kind == "unsupported" else "raises"
    elif isinstance(failure.__context__, wire.WireError) and "the stream ended" not in str(failure.__context__):
        return failed(f"breaks the protocol: it writes into the worker's own pipe ({failure.__context__})", where)
    else:
        what = "dies"
    last = (failure.log_tail.splitlines() or [""])[-1][:120]
    return failed(
        f"{what}: {failure.reason}" + (f"; it printed last: {last}" if last and not failure.alive else ""), where
    )
