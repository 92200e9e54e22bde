"""The files of an adapter's folder: locks that resolve, programs, networks by hand; workarounds are counted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.adapters import EnvironmentSpec
from harness.adapting.findings import Finding, Unable, failed, missing, passed, untold
from harness.adapting.source import shown
from harness.adapting.subject import Subject, gate
from harness.ease import effort, mistakes, programs, tasks
from harness.environments import EnvironmentFailed, uv
from harness.environments.locking import without_places
from harness.errors import HarnessError
from harness.kit import wire
from harness.worker import WorkerFailed

#: Models that every framework has a hand-written network for.
_NATIVE = ("lenet5", "resnet18", "lstm", "encoder")

#: Where the wheels of a lock for a GPU must exist, whatever machine asks.
_CUDA_PLATFORM = "x86_64-unknown-linux-gnu"


def check(subject: Subject) -> Iterator[Finding]:
    for environment in subject.spec.environments:
        yield from _locks(environment)
    yield from _native(subject)
    yield from _rosetta(subject)
    yield from _mistakes(subject)
    found = effort.workarounds(subject.spec.folder)
    yield passed(f"{len(found)} workarounds are marked" if found else "no workaround is marked")


# Locks -------------------------------------------------------------------------------------------------------------


def _locks(environment: EnvironmentSpec) -> Iterator[Finding]:
    """Each lock is there and pins by hash; one of an environment's can be had here."""
    reasons = {}
    for lock in environment.locks:
        wrong = _wrong(lock)
        if wrong is not None:
            yield wrong
            continue
        reasons[lock] = _unresolved(lock, environment)
    if not reasons:
        return
    for lock, reason in reasons.items():
        if not reason:
            yield passed(f"environment {environment.name}: {lock.name} resolves")
            return
    lock, reason = next(iter(reasons.items()))
    text = f"environment {environment.name}: {lock.name} does not resolve: {reason}"
    yield untold(text, shown(lock)) if "no network" in reason else failed(text, shown(lock))


def _wrong(lock: Path) -> Finding | None:
    if not lock.is_file():
        return missing(f"{lock.name} is not there; `harness env lock` writes it", shown(lock))
    text = lock.read_text(encoding="utf-8")
    try:
        without_places(text, lock)
    except EnvironmentFailed as failure:
        return failed(failure.reason, shown(lock))
    if any("==" in line and not line.rstrip().endswith("\\") for line in text.splitlines() if line[:1].isalnum()):
        return failed(f"{lock.name}: a package has no hash; `harness env lock` writes them", shown(lock))
    return None


def _unresolved(lock: Path, environment: EnvironmentSpec) -> str:
    """Why no Python of the environment finds every package of a lock; empty if one does. Installs nothing."""
    reason = ""
    platform: list[str] = ["--python-platform", _CUDA_PLATFORM] if environment.device == "cuda" else []
    with tempfile.TemporaryDirectory(prefix="harness-lock-") as scratch:
        for python in environment.python:
            answer = uv.call(
                "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--no-build", "--quiet",
                "--python-version", python, *platform, "--target", scratch, "--requirements", lock,
            )  # fmt: skip
            if answer.ok:
                return ""
            reason = reason or uv.meaning(answer.output, python)
    return reason


# Networks by hand --------------------------------------------------------------------------------------------------


def _native(subject: Subject) -> Iterator[Finding]:
    have = subject.spec.native_models
    lacking = [name for name in _NATIVE if name not in have]
    if lacking:
        yield missing(f"no hand-written network of {', '.join(lacking)}", shown(subject.spec.folder / "native"))
    right = []
    for name in have:
        if name == "resnet18":  # its reference takes minutes
            continue
        where = shown(subject.spec.folder / "native" / f"{name}.py")
        try:
            live = subject.load(subject.workload(name), mode=wire.NATIVE_MODE)
            gate(live)
            live.ask("close")
        except WorkerFailed as failure:
            if not failure.alive:
                raise
            yield failed(f"native {name}: {failure.reason}", where)
            continue
        except Unable as reason:
            yield untold(f"native {name}: {reason}")
            continue
        if live.finding.reason:
            yield failed(f"native {name}: {live.finding.reason}", where)
        else:
            right.append(name)
    if right:
        yield passed(f"hand-written networks are right: {', '.join(right)}")


# Ease of use -------------------------------------------------------------------------------------------------------


def _rosetta(subject: Subject) -> Iterator[Finding]:
    spec = subject.spec
    asked = list(programs.asked_of(spec))
    written = [task for task in asked if programs.file_of(spec, task.name).is_file()]
    unwritten = [task.name for task in asked if task not in written]
    if unwritten:
        text = f"{len(unwritten)} of {len(asked)} Rosetta programs are not written: {', '.join(unwritten)}"
        yield missing(text, shown(programs.folder_of(spec)))
    counts: dict[str, list[str]] = {}
    for task, outcome, reason in _ran(subject, written):
        counts.setdefault(outcome, []).append(task)
        if outcome == "untold":
            yield untold(f"rosetta {task}: {reason}")
        elif outcome not in ("done", "cannot"):
            yield failed(f"rosetta {task} is {outcome}: {reason}", shown(programs.file_of(spec, task)))
    good = {outcome: counts[outcome] for outcome in ("done", "cannot") if outcome in counts}
    if good:
        yield passed("Rosetta programs: " + ", ".join(f"{len(names)} {outcome}" for outcome, names in good.items()))


def _ran(subject: Subject, written: list[tasks.Task]) -> list[tuple[str, str, str]]:
    """(task, outcome, reason), two programs at a time: they are not timed here."""
    if not written:
        return []
    places = {purpose: subject.site(purpose).environment for purpose in subject.purposes}

    def run(task: tasks.Task) -> tuple[str, str, str]:
        try:
            environment = places[task.purpose]
            found = programs.run(subject.spec, task, environment, subject.scratch, 1, subject.pace.timeout)
        except HarnessError as error:
            return task.name, "untold", error.what
        return task.name, found.outcome, found.reason

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, written))


def _mistakes(subject: Subject) -> Iterator[Finding]:
    file = mistakes.file_of(subject.spec)
    asked = [one.name for one in mistakes.read().values() if one.purpose in subject.spec.scenarios]
    if not file.is_file():
        yield missing(f"no planted mistakes ({len(asked)} are asked for)", shown(file))
        return
    planted, impossible = mistakes.written(file)
    unwritten = [name for name in asked if name not in planted and name not in impossible]
    unmarked = [name for name in asked if planted.get(name) == 0 and name not in impossible]
    if unwritten:
        yield missing(f"mistakes are not written: {', '.join(unwritten)}", shown(file))
    if unmarked:
        yield failed(f"no line is marked `# planted` in {', '.join(unmarked)}", shown(file))
    if not unwritten and not unmarked:
        cannot = sum(name in impossible for name in asked)
        yield passed(f"{len(asked)} planted mistakes, {cannot} of them cannot be made")
