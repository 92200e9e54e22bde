"""Planted mistakes: make each in a framework's environment, and judge by rules what its user would have seen.

A framework's mistakes stand in `rosetta/mistakes.py` of its adapter, a generator function each (`adapters/kit/
mistakes.py` says how it is run). The faulty line ends with the comment `# planted`. What cannot be expressed in a
framework stands in its dictionary CANNOT, with the reason. `mistakes.lock` may name packages beyond the environment's.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness.adapters import AdapterSpec
from harness.ease import places, processes
from harness.ease.programs import folder_of, variables
from harness.environments import Environment
from harness.errors import HarnessError
from harness.paths import ADAPTERS

#: When a mistake is noticed; "never" for one that nothing is said about.
MOMENTS = ("build", "first run", "later", "never")

#: What the user gets: an exception, a warning that is about it, a process that dies, or nothing. `taken as meant`: the
#: framework says nothing and does what was meant, shown by equal results; `cannot`: the mistake cannot be made in it;
#: `unwritten`: its adapter lacks it. The last three are no mistakes in this framework.
WAYS = ("exception", "warning", "death", "silence", "taken as meant", "cannot", "unwritten")

#: Python since 3.11 marks the place in a quoted line; earlier versions do not, and must not look terser for it.
_MARKS = re.compile(r"^\s*[~^]+\s*$")

#: What sets a printed warning apart from a notice: a word, or the level that C++ loggers begin a line with.
_ALARM = re.compile(r"warn|error|invalid|not finite|^\s*\[?[WEF]\s?\d|\[[WEF]:", re.IGNORECASE)

#: Before the name of a moment, on a line of its own that `adapters/kit/mistakes.py` prints.
_ANNOUNCEMENT = "\x1e"
_ANNOUNCED = re.compile(r"^\x1e.*\n?", re.MULTILINE)

_PLANTED = "# planted"

#: A warning, the moment at which it came, and the file and line that it points to.
Warned = tuple[str, str, tuple[str, int]]


@dataclass(frozen=True)
class Mistake:
    """One mistake and its rules; mistakes.toml describes the fields."""

    name: str
    title: str
    purpose: str
    about: str
    names: re.Pattern[str]
    expected: re.Pattern[str] | None = None
    got: re.Pattern[str] | None = None


@dataclass
class Seen:
    """What the user sees, as `adapters/kit/mistakes.py` reports it, and how its process ended. warnings: each with its
    moment, and the file and line that it points to."""

    moment: str
    exception: str | None = None
    message: str = ""
    traceback: str = ""
    frames: list[tuple[str, int]] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    meant: bool | None = None
    ended: processes.Ended = field(default_factory=lambda: processes.Ended(0, ""))


@dataclass
class Diagnosis:
    """How well a framework told its user of a mistake.

    way, moment: see WAYS and MOMENTS. names_operator, names_line: whether the message names what is at fault, and the
    traceback or the message the planted line; names_shapes: whether it tells both what was expected and what it got,
    None where there is nothing of the kind. lines: of the traceback with its message; frames: in it, and user_frames:
    those in the user's own file. reason: of "cannot".
    """

    adapter: str
    mistake: str
    way: str
    moment: str = "never"
    names_operator: bool = False
    names_shapes: bool | None = None
    names_line: bool = False
    lines: int = 0
    frames: int = 0
    user_frames: int = 0
    message: str = ""
    traceback: str = ""
    reason: str = ""

    @property
    def caught(self) -> bool:
        return self.way in ("exception", "warning", "death")

    @property
    def is_mistake(self) -> bool:
        """Whether it can be made in this framework, and is one there."""
        return self.caught or self.way == "silence"


@cache
def read() -> dict[str, Mistake]:
    """Every mistake by name, in the order of mistakes.toml."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: _mistake(name, entry) for name, entry in table.items()}


def _mistake(name: str, entry: dict[str, str]) -> Mistake:
    def pattern(key: str) -> re.Pattern[str] | None:
        return re.compile(entry[key], re.IGNORECASE) if key in entry else None

    names = pattern("names")
    assert names is not None
    return Mistake(name, entry["title"], entry["purpose"], entry["about"], names, pattern("expected"), pattern("got"))


def file_of(adapter: AdapterSpec) -> Path:
    return folder_of(adapter) / "mistakes.py"


def written(file: Path) -> tuple[dict[str, int], dict[str, str]]:
    """What stands in a mistakes.py: functions with the line that is planted (0 if none is), and CANNOT."""
    text = file.read_text(encoding="utf-8")
    lines, planted, cannot = text.splitlines(), {}, {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            planted[node.name] = next((number for number in span if lines[number - 1].endswith(_PLANTED)), 0)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CANNOT":
            cannot = ast.literal_eval(node.value)
    return planted, cannot


def run_all(
    adapter: AdapterSpec,
    environment_for: dict[str, Environment],
    scratch: Path,
    timeout: float,
    only: Sequence[str] = (),
) -> Iterator[Diagnosis]:
    """Every mistake that an adapter can be asked for, two at a time: they are not timed.

    environment_for: by purpose. Raises HarnessError if the adapter has no mistakes.py.
    """
    file = file_of(adapter)
    if not file.is_file():
        raise HarnessError(f"{file}: there is no such file", "docs/ease.md says what it holds.")
    planted, cannot = written(file)
    asked = [one for one in read().values() if one.purpose in environment_for and (not only or one.name in only)]

    def diagnose(mistake: Mistake) -> Diagnosis:
        if mistake.name in cannot:
            return Diagnosis(adapter.name, mistake.name, "cannot", reason=cannot[mistake.name])
        if mistake.name not in planted:
            return Diagnosis(adapter.name, mistake.name, "unwritten", reason="there is no such mistake in mistakes.py")
        seen = make(file, mistake.name, environment_for[mistake.purpose], scratch, timeout)
        return judge(adapter.name, mistake, seen, file, planted[mistake.name])

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(diagnose, asked)


def make(file: Path, name: str, environment: Environment, scratch: Path, timeout: float) -> Seen:
    """Make one mistake in a process of its own; what its user sees."""
    folder = scratch / f"{file.parent.parent.name}-{name}"
    folder.mkdir(parents=True)
    report = folder / "report.json"
    runner = ADAPTERS / "kit" / "mistakes.py"
    command: list[str | Path] = [environment.python, runner, file, name, report]
    ended = processes.run(command, folder, variables(file, environment, threads=1), timeout)
    try:
        told: dict[str, Any] = json.loads(report.read_text())
    except (OSError, ValueError):
        raise HarnessError(f"{file}: {name} left no report; it printed: {ended.printed[-500:]}") from None
    here = places.places_of(environment, folder, file)
    return Seen(
        moment=told["moment"],
        exception=told["exception"],
        message=places.without(told["message"], here),
        traceback=places.without(told["traceback"], here),
        frames=[(str(path), int(line or 0)) for path, line in told["frames"]],
        warnings=[(places.without(text, here), moment, (path, line)) for text, moment, path, line in told["warnings"]],
        meant=told["meant"],
        ended=processes.Ended(ended.code, places.without(ended.printed, here)),
    )


def judge(adapter: str, mistake: Mistake, seen: Seen, file: Path, planted: int) -> Diagnosis:
    """By the rules of a mistake, how well its user was told. planted: the number of the faulty line."""
    warned = _warned(mistake, seen)
    way, moment = _way(seen, warned)
    diagnosis = Diagnosis(adapter, mistake.name, way, moment, names_shapes=False if mistake.expected else None)
    if not diagnosis.caught:
        return diagnosis
    diagnosis.message, diagnosis.traceback = _read_by_the_user(seen, way, warned)
    text = f"{seen.exception or ''}: {diagnosis.message}"
    diagnosis.names_operator = bool(mistake.names.search(text))
    if mistake.expected and mistake.got:
        diagnosis.names_shapes = bool(mistake.expected.search(text) and mistake.got.search(text))
    diagnosis.lines = sum(not _MARKS.match(line) for line in diagnosis.traceback.splitlines())
    diagnosis.frames = len(seen.frames)
    diagnosis.user_frames = sum(path == str(file) for path, _ in seen.frames)
    pointed = [*seen.frames, *(place for _, _, place in warned)]
    diagnosis.names_line = (str(file), planted) in pointed or _tells_line(diagnosis.traceback, file, planted)
    return diagnosis


def _way(seen: Seen, warned: list[Warned]) -> tuple[str, str]:
    """How the user was told, and when."""
    if seen.ended.code != 0:
        return "death", seen.moment
    if seen.exception is not None:
        return "exception", seen.moment
    if warned:
        return "warning", warned[0][1] or MOMENTS[0]
    return "taken as meant" if seen.meant else "silence", MOMENTS[-1]


def _read_by_the_user(seen: Seen, way: str, warned: list[Warned]) -> tuple[str, str]:
    """The message, and all of it with its traceback, if it has one. What was printed in the moment of an exception is
    part of what the user reads of it: some frameworks print there what the exception does not say."""
    if way == "exception":
        printed = "".join(f"{line}\n" for line, moment in _printed(seen.ended.printed) if moment == seen.moment)
        return f"{seen.message}\n{printed}".strip(), printed + seen.traceback
    if way == "warning":
        text = "\n".join(text for text, _, _ in warned)
        return text, text
    text = f"{_ANNOUNCED.sub('', seen.ended.printed).strip()}\n[{seen.ended.how}]".strip()
    return text, text


def _warned(mistake: Mistake, seen: Seen) -> list[Warned]:
    """What was said to warn of the mistake: by Python's warnings, or by printed lines that are more than a notice."""
    printed = [(line, moment, ("", 0)) for line, moment in _printed(seen.ended.printed) if _ALARM.search(line)]
    return [warned for warned in (*seen.warnings, *printed) if mistake.names.search(warned[0])]


def _printed(text: str) -> Iterator[tuple[str, str]]:
    """The lines that a mistake's process printed, each with its moment; "" is that of the import."""
    moment = ""
    for line in text.split("\n"):  # splitlines() takes the announcement for an end of line
        if line.startswith(_ANNOUNCEMENT):
            moment = line.removeprefix(_ANNOUNCEMENT)
        elif line:
            yield line, moment


def _tells_line(text: str, file: Path, planted: int) -> bool:
    return bool(re.search(rf"{re.escape(file.name)}\"?(?:, line |:|\(){planted}\b", text))
