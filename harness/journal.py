"""The journal of a run: one JSON object a line, in the order in which things became known.

It is the only thing that a run has to keep; everything else is made from it. A line is flushed to the disk before
`append` returns, so neither Ctrl-C nor kill -9 loses what was measured before.

Every line has `kind` and `at` (UTC, ISO 8601). Kinds and their facts:

- run: name, harness_version, suite, seed, arguments. run_end: seconds. resume: nothing more.
- machine: what `harness.measure.machine.facts` says.
- environment: adapter, environment, and either reason (it could not be made) or device, python, lock, packages,
  bytes_on_disk, install_seconds, framework_version, import_seconds, facts.
- model: model, sha256, purpose, batch, parameters, flops, ...
- cell: cell (its id), comparison, adapter, ..., status, reason, facts. A later line of the same cell replaces the
  earlier ones; a line without a status says that the cell has begun.
- samples: cell, round, order, repetitions, phase, and one entry per sample in ns (nanoseconds of one step),
  waited_ns (nanoseconds that the sample, all its repetitions together, waited for a CPU) and involuntary_switches;
  for the turn turn_ns, and others_ns (nanoseconds that CPUs worked for other processes meanwhile), where known.
  phase: "timed", "warmup", or a phase of a cold start ("spawn", "import", "load", "first_result", "total").
- conformance: adapter, framework_version, device, mode, group, case, operator, outcome, seconds, and where there is
  any: reason, refused, road, rewritten.
- ease: adapter, metric, task, value, unit, source. ease_end: adapter, for which there is no more to come.
- program: a Rosetta program that was run: adapter, environment, task, text, outcome, reason, seconds, log, ...
- mistake: a planted mistake: adapter, mistake, way, moment, message, traceback, ...
- workaround: adapter, file, line, reason.
- warning: text.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import HarnessError

FILE_NAME = "journal.jsonl"

Fact = dict[str, Any]


class Journal:
    """The journal of one run, open for appending by this process alone. Use as a context manager, or `close` it."""

    def __init__(self, path: Path, descriptor: int, lines: int):
        self.path = path
        self.lines = lines
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path | str) -> Journal:
        """Start a journal. Raises HarnessError where the folder has one already or cannot be written."""
        path = Path(folder) / FILE_NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            if not path.exists():
                raise HarnessError(f"{folder} is not a folder", "Choose another place for the run.") from None
            raise HarnessError(f"{path} exists already", "Go on with it (--resume), or choose another name.") from None
        except OSError as error:
            raise HarnessError(f"{path} cannot be made: {error.strerror}", "Choose another place.") from None
        return cls._locked(path, descriptor, 0)

    @classmethod
    def open(cls, folder: Path | str) -> Journal:
        """Go on with a journal. A last line that a killed process left unfinished is cut off."""
        path = Path(folder) / FILE_NAME
        lines = len(read(folder))
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise HarnessError(f"{path} cannot be opened: {error.strerror}", "Check its permissions.") from None
        journal = cls._locked(path, descriptor, lines)
        journal._mend()
        return journal

    @classmethod
    def _locked(cls, path: Path, descriptor: int, lines: int) -> Journal:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise HarnessError(f"{path} is being written by another process", "Wait until it has ended.") from None
        return cls(path, descriptor, lines)

    def _mend(self) -> None:
        """Make the file end with a whole line."""
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data) and _parse(data[end:]) is not None:
            os.write(self._descriptor, b"\n")
        else:
            os.ftruncate(self._descriptor, end)

    def append(self, kind: str, **facts: Any) -> None:
        """Add one line. It is on the disk when this returns. Raises HarnessError where it cannot be."""
        fact = {"kind": kind, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        line = _encode(fact) + b"\n"
        length = os.fstat(self._descriptor).st_size
        try:
            _write_all(self._descriptor, line)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, length)
            raise self._refused(kind, error) from None
        self.lines += 1

    def _refused(self, kind: str, error: OSError) -> HarnessError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else str(error.strerror)
        kept = "The line before it is" if self.lines == 1 else f"The {self.lines} lines before it are"
        return HarnessError(
            f"{self.path}: a line of kind {kind!r} could not be written: {why}. {kept} kept",
            f"{'Make room' if full else 'Put that right'}, then go on with --resume.",
        )

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(folder: Path | str) -> list[Fact]:
    """Every fact of a journal, oldest first.

    A last line without its end (the process was killed while it wrote) is left out. Raises HarnessError where
    there is no journal, and for rubbish anywhere else, with the number of the line.
    """
    path = Path(folder) / FILE_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error.strerror}", "Name the folder of a run.") from None
    return list(_facts(path, data))


def _facts(path: Path, data: bytes) -> Iterator[Fact]:
    *lines, tail = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        fact = _parse(line)
        if fact is None:
            raise HarnessError(
                f"{path}, line {number}: not a fact of a journal: {line[:60].decode(errors='replace')!r}",
                "The file was changed or damaged. Remove that line to use the others.",
            )
        yield fact
    fact = _parse(tail)
    if fact is not None:
        yield fact


def _parse(line: bytes) -> Fact | None:
    """One line as a fact, or None where it is none."""
    try:
        fact = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fact if isinstance(fact, dict) and isinstance(fact.get("kind"), str) else None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _encode(fact: Fact) -> bytes:
    try:
        text = json.dumps(fact, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(json.loads(json.dumps(fact, default=_plain))), allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    """What json does not know: numpy's scalars and arrays, paths, sets."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a journal cannot hold a {type(value).__name__}")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for both."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
