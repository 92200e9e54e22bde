"""The end: the worker goes when it is told to, by itself, and leaves nobody behind."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject

_SECONDS = 15.0


def check(subject: Subject) -> Iterator[Finding]:
    workload = subject.smallest().workload
    with subject.worker() as worker:
        live = subject.load(workload, worker)
        live.fetch("infer", inputs=str(workload.inputs()))
        children = psutil.Process(worker.process.pid).children(recursive=True)
        worker.end(min(_SECONDS, subject.pace.timeout))
        code, where = worker.process.returncode, subject.source.method("close")
    left = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    if code == -9:
        yield failed("it does not end when it is told to, and has to be killed", where)
    elif code:
        yield failed(f"it ends with code {code} when it is told to end", where)
    if left:
        yield failed(f"it leaves processes behind: {', '.join(child.name() for child in left)}", where)
        for child in left:
            child.kill()
    if not code and not left:
        yield passed("it ends by itself with code 0, and leaves no process behind")
