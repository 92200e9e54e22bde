"""What can be read off a program's text: size, effort, complexity, and what of its framework it needs to know."""

from __future__ import annotations

import ast
import io
import keyword
import math
import sys
import token
import tokenize
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from radon.raw import analyze
from radon.visitors import ComplexityVisitor

#: Tokens that carry nothing.
_LAYOUT = {
    token.ENCODING, token.NEWLINE, token.NL, token.INDENT, token.DEDENT, token.ENDMARKER, token.COMMENT,
}  # fmt: skip

#: Methods of Python's own types: `losses.append` says nothing of a framework.
_PYTHONS_OWN = {name for kind in (list, dict, set, tuple, str, bytes, int, float) for name in dir(kind)}

#: What anyone who programs in Python knows.
_KNOWN_MODULES = {*sys.stdlib_module_names, "numpy"}

#: Since Python 3.12 the parts of an f-string are tokens of their own; before, it is one string.
_FSTRING_START, _FSTRING_END = getattr(token, "FSTRING_START", -1), getattr(token, "FSTRING_END", -1)


def measure(text: str) -> dict[str, float]:
    """Every metric of a program's text, by its name in `metrics`."""
    tree = ast.parse(text)
    tokens = list(_tokens(text, tree))
    names = list(_names(tree))
    mentions = _concepts()["mentions"]
    return {
        "lines": analyze(text).sloc,
        "statements": sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) - len(_docstrings(tree)),
        "tokens": len(tokens),
        "halstead_effort": round(halstead_effort(tokens)),
        "complexity": ComplexityVisitor.from_code(text).total_complexity,
        "api_names": len(api_names(tree)),
        "imports": len(_imported(tree)),
        "concepts": len(concepts(set(names) - _bound(tree))),
        "device_mentions": sum(name in mentions["device"] for name in [*names, *_strings(tree)]),
        "shape_mentions": sum(name in mentions["shape"] for name in names),
    }


def halstead_effort(tokens: Collection[tuple[int, str]]) -> float:
    """Difficulty times volume: (n1 / 2)(N2 / n2) * (N1 + N2) log2(n1 + n2), where n1 and N1 count distinct and all
    operators, n2 and N2 operands (M. H. Halstead, Elements of Software Science, 1977)."""
    operators = [text for kind, text in tokens if kind == token.OP or (kind == token.NAME and keyword.iskeyword(text))]
    operands = [text for kind, text in tokens if not (kind == token.OP or keyword.iskeyword(text))]
    if not operators or not operands:
        return 0.0
    distinct = len(set(operators)), len(set(operands))
    volume = (len(operators) + len(operands)) * math.log2(sum(distinct))
    return distinct[0] / 2 * len(operands) / distinct[1] * volume


def concepts(names: Collection[str]) -> set[str]:
    """The kinds of concepts.toml of which one of the names is used."""
    used = set(names)
    return {kind for kind, words in _concepts()["concepts"].items() if used & words}


def api_names(tree: ast.Module) -> set[str]:
    """What a program has to know of its framework: dotted names that begin with an import which is neither Python's own
    nor numpy, and attributes of objects that come from no import and are neither the program's nor Python's own.

    `F.relu(x)` after `import torch.nn.functional as F` is "torch.nn.functional.relu"; `loss.backward()` is ".backward".
    """
    imported = _imported_names(tree)
    own = _defined(tree) | _PYTHONS_OWN
    found = set()
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if id(node) in inner or not isinstance(node, ast.Attribute | ast.Name):
            continue
        root, path = _dotted(node)
        if isinstance(root, ast.Name) and root.id in imported:
            full = ".".join((imported[root.id], *path))
            if "." in full and full.split(".")[0] not in _KNOWN_MODULES:
                found.add(full)
        else:
            found |= {f".{name}" for name in path if name not in own}
    return found


@cache
def _concepts() -> dict[str, dict[str, frozenset[str]]]:
    table = tomllib.loads(Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8"))
    return {part: {kind: frozenset(words) for kind, words in kinds.items()} for part, kinds in table.items()}


def _tokens(text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(kind, text) of what a reader must take in: no comments, no layout, no docstrings."""
    skipped = {(node.lineno, node.col_offset) for node in _docstrings(tree)}
    lines, inside = text.splitlines(), 0
    for one in tokenize.generate_tokens(io.StringIO(text).readline):
        inside -= one.type == _FSTRING_END
        if one.type == _FSTRING_START and not inside:
            yield token.STRING, lines[one.start[0] - 1][one.start[1] :]
        elif one.type not in _LAYOUT and one.start not in skipped and one.type != _FSTRING_END and not inside:
            yield one.type, one.string
        inside += one.type == _FSTRING_START


def _docstrings(tree: ast.Module) -> list[ast.Expr]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            found.append(first)
    return found


def _names(tree: ast.Module) -> Iterator[str]:
    """Every identifier, as often as it stands there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def _strings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _imported(tree: ast.Module) -> set[str]:
    """Modules that are imported; `from a import b` is one of a."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            found.add(node.module or "")
    return found


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, as a dotted name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _defined(tree: ast.Module) -> set[str]:
    """Functions, classes, and attributes that the program sets."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return found | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def _bound(tree: ast.Module) -> set[str]:
    """Names that the program gives to things of its own: its class Net is not a framework's concept of that name."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return found | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _dotted(node: ast.expr) -> tuple[ast.expr, tuple[str, ...]]:
    """The expression at the root of a chain of attributes, and the chain."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    return node, tuple(path)
