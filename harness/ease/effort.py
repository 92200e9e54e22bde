"""What it took to express ONNX in a framework: the size of its adapter, how operators reach it, and workarounds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas
from radon.raw import analyze
from radon.visitors import ComplexityVisitor

from harness import journal, results
from harness.ease.metrics import Row, row
from harness.errors import HarnessError

#: The one form of a comment that marks a workaround. It goes on over the comment lines that follow.
_MARK = re.compile(r"^\s*# workaround: (?P<reason>.+)$")
_MORE = re.compile(r"^\s*# (?P<reason>.+)$")

#: How an operator reaches a framework, the shortest road first, as the conformance board calls it.
ROADS = ("own function", "function body", "rule")
MISSING = "missing"

#: The cases of the board that are one for an operator: ONNX's own.
_GROUP = "node"

#: In the names of those of them that hold an operator's function body instead of the operator.
_EXPANDED = "_expanded"

#: The parts of an adapter whose lines are counted.
PARTS = ("module", "operator table", "native", "rosetta")

_NO_TABLE = "none: the framework takes ONNX's nodes as they are"


@dataclass(frozen=True)
class Workaround:
    """One place in an adapter that makes up for what its framework lacks or gets wrong."""

    file: str
    line: int
    reason: str


def of_adapter(name: str, folder: Path) -> Iterator[Row]:
    """Sizes of an adapter's own modules, and of those of them that are its operator table."""
    modules = sorted(folder.glob("*.py"))
    for kind, chosen in (("adapter", modules), ("operator", _table(folder))):
        source = f"radon: {', '.join(path.name for path in chosen)}" if chosen else _NO_TABLE
        source = "radon: its own modules" if kind == "adapter" else source
        yield row(name, f"{kind}_lines", _lines(chosen), source)
        yield row(name, f"{kind}_functions", sum(map(_count_functions, chosen)), source)
    yield row(name, "workarounds", len(workarounds(folder)), "comments `# workaround:` in its own modules")


def sizes(folder: Path) -> dict[str, int]:
    """Source lines of an adapter's parts: its modules, those of them that are the operator table, what is written by
    hand in native/, and its Rosetta programs."""
    groups = (folder.glob("*.py"), _table(folder), folder.glob("native/*.py"), folder.glob("rosetta/*.py"))
    return dict(zip(PARTS, map(_lines, groups), strict=True))


def of_board(name: str, board: Path | None) -> Iterator[Row]:
    """How many operators reach a framework by each road, read off a run of the conformance board."""
    if board is None:
        yield row(name, "operators", None, "no conformance board here: `harness conformance` makes one", ROADS[0])
        return
    cases = _cases(board)
    cases = cases[(cases.adapter == name) & (cases.group == _GROUP) & ~cases.case.str.contains(_EXPANDED)]
    source = f"conformance board {board.name}"
    if cases.empty:
        yield row(name, "operators", None, f"{source} has no cases of it", ROADS[0])
        return
    versions = ", ".join(sorted(cases.framework_version.dropna().unique()))
    roads = cases.groupby("operator").apply(_shortest_road, include_groups=False)
    for road in (*ROADS, MISSING):
        yield row(name, "operators", int((roads == road).sum()), f"{source} of version {versions}", road)


def newest_board(runs: Path) -> Path | None:
    """The newest run of the conformance board in a folder of runs."""
    found: dict[str, Path] = {}
    for file in sorted(runs.glob(f"*/{journal.FILE_NAME}")):
        try:
            facts = journal.read(file.parent)
        except HarnessError:
            continue
        boards = [str(fact.get("at", "")) for fact in facts if fact["kind"] == "conformance"]
        if boards:
            found[max(boards)] = file.parent
    return found[max(found)] if found else None


def of_models(name: str, environment: str, lacking: set[str], rewritten: set[str]) -> Iterator[Row]:
    """Operators of this run's models that an adapter lacks, and what stood in for them."""
    source = "operators of this run's models: " + (", ".join(sorted(lacking)) or "none is missing")
    yield row(name, "operators_missing", len(lacking), source, environment)
    source = "instead of an operator's own function: " + (", ".join(sorted(rewritten)) or "nothing")
    yield row(name, "operators_rewritten", len(rewritten), source, environment)


def workarounds(folder: Path) -> list[Workaround]:
    """Every marked workaround of an adapter's own modules, in order."""
    found = []
    for path in sorted(folder.glob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if match := _MARK.match(line):
                reason = [match["reason"], *_continued(lines[number:])]
                found.append(Workaround(path.name, number, " ".join(reason)))
    return found


def _continued(lines: list[str]) -> Iterator[str]:
    for line in lines:
        match = _MORE.match(line)
        if match is None or _MARK.match(line):
            return
        yield match["reason"]


@cache
def _cases(board: Path) -> pandas.DataFrame:
    """Every case of a board; reading it takes longer than counting."""
    return results.load(board).conformance


def _shortest_road(cases: pandas.DataFrame) -> str:
    passed = set(cases[cases.outcome == "pass"].road)
    return next((road for road in ROADS if road in passed), MISSING)


def _table(folder: Path) -> list[Path]:
    """The modules that define a function named as an ONNX operator."""
    return [path for path in sorted(folder.glob("*.py")) if _functions(path) & _onnx_operators()]


def _lines(paths: Iterable[Path]) -> int:
    return sum(analyze(path.read_text(encoding="utf-8")).sloc for path in paths)


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def _count_functions(path: Path) -> int:
    visitor = ComplexityVisitor.from_code(path.read_text())
    return len(visitor.functions) + sum(len(kind.methods) for kind in visitor.classes)


@cache
def _onnx_operators() -> frozenset[str]:
    from onnx import defs

    return frozenset(schema.name for schema in defs.get_all_schemas())
