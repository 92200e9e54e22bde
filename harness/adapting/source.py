"""Where something stands in an adapter's own modules: the file and the line to open."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


class Source:
    """The modules of an adapter's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.toml = shown(folder / "adapter.toml")

    def operator(self, name: str) -> str:
        """The function of an ONNX operator; where operators stand, if it has none of its own."""
        for path, tree in self._modules():
            for node in tree.body:
                if _defines(node, name):
                    return shown(path, node.lineno)
        return self.operators()

    def operators(self) -> str:
        """Where operators stand."""
        place = next((self.folder / name for name in ("ops.py", "ops") if (self.folder / name).exists()), None)
        return shown(place) if place else self.method("load")

    def method(self, name: str) -> str:
        """A method, looked for in adapter.py first; adapter.py, if it is inherited."""
        for path, tree in self._modules():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    return shown(path, node.lineno)
        return shown(self.folder / "adapter.py")

    def _modules(self) -> Iterator[tuple[Path, ast.Module]]:
        first = self.folder / "adapter.py"
        rest = sorted(path for path in self.folder.rglob("*.py") if path != first and _own(path, self.folder))
        for path in [first, *rest] if first.is_file() else rest:
            try:
                yield path, ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):
                continue


def shown(path: Path, line: int | None = None) -> str:
    """A path as a user may open it: relative to the current folder where it lies within."""
    here = Path.cwd()
    text = str(path.relative_to(here) if path.is_relative_to(here) else path)
    return text if line is None else f"{text}:{line}"


def _own(path: Path, folder: Path) -> bool:
    """Whether a module is part of the adapter itself, not a program or a network by hand."""
    return path.relative_to(folder).parts[0] not in ("native", "rosetta")


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name == name
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
