"""What it prints does no harm, and it does not print at every step."""

from __future__ import annotations

from collections.abc import Iterator

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject

_STEPS = 20


def check(subject: Subject) -> Iterator[Finding]:
    workload = subject.smallest().workload
    with subject.worker() as worker:
        live = subject.load(workload, worker)
        loading = worker.log.stat().st_size
        sizes = []
        for _ in range(3):
            about = {"what": "infer", "scope": "device", "inputs": str(workload.inputs())}
            live.ask("turn", **about, repetitions=_STEPS, budget_ns=0)
            sizes.append(worker.log.stat().st_size)
        printed = worker.log.read_bytes()[loading:]
    where = subject.source.method("infer")
    # What is said once, at the first step, is no harm.
    if sizes[0] < sizes[1] < sizes[2]:
        rubbish = "binary rubbish" if _is_binary(printed) else repr(printed[:40].decode("utf-8", "replace"))
        yield failed(f"it prints at every step: {(sizes[2] - sizes[0]) // (2 * _STEPS)} bytes of {rubbish}", where)
    elif _is_binary(printed):
        yield failed(f"it prints binary rubbish: {printed[:12]!r}", where)
    else:
        yield passed(f"{loading} bytes printed until it is loaded, {len(printed)} in {3 * _STEPS} steps")


def _is_binary(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return any(ord(letter) < 32 and letter not in "\n\r\t\b\x1b" for letter in text)
