"""Write the folder of a new adapter: one that works at once on three operators, or a copy of one that is there."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from harness.adapters import INTERFACE_VERSION, AdapterSpec, find_adapter
from harness.errors import HarnessError, did_you_mean

#: How a framework computes: operator by operator when called, or a graph that is built first.
STYLES = ("eager", "graph")

_TEMPLATES = Path(__file__).parent / "templates"


def create(name: str, into: Path, style: str = STYLES[0], source: AdapterSpec | None = None) -> list[Path]:
    """Write the adapter NAME into a folder; the files written. source: copy its modules, toml and locks instead.

    Raises HarnessError for a name that is no module's, or where something is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise HarnessError(
            f"an adapter cannot be called {name!r}", "Its name is a module's: small letters, digits and underscores."
        )
    if style not in STYLES:
        raise HarnessError(f"unknown style {style!r}", did_you_mean(style, list(STYLES)))
    folder = into / name
    if folder.exists():
        raise HarnessError(f"{folder}: there is something already", "Choose another name, or remove it.")
    folder.mkdir(parents=True)
    if source is not None:
        return _copied(source, folder)
    return _rendered(folder, name, style)


def _copied(source: AdapterSpec, folder: Path) -> list[Path]:
    """Its modules, adapter.toml and locks; hand-written networks and Rosetta programs are of its framework alone."""
    chosen = [path for path in sorted(source.folder.iterdir()) if path.suffix in (".py", ".toml", ".lock")]
    return [Path(shutil.copy(path, folder / path.name)) for path in chosen]


def _rendered(folder: Path, name: str, style: str) -> list[Path]:
    names = {
        "name": name,
        "title": name.capitalize(),
        "classname": "".join(word.capitalize() for word in name.split("_")) + "Adapter",
        "style": style,
        "year": datetime.now(UTC).year,
        "interface": INTERFACE_VERSION,
    }
    written = []
    for template in sorted([*(_TEMPLATES / "both").iterdir(), *(_TEMPLATES / style).iterdir()]):
        text = jinja2.Template(template.read_text(encoding="utf-8"), keep_trailing_newline=True).render(names)
        path = folder / template.name.removesuffix(".j2")
        path.write_text(text, encoding="utf-8")
        written.append(path)
    lock = folder / "cpu.lock"
    shutil.copy(find_adapter("null").folder / "cpu.lock", lock)  # numpy, pinned
    return [*written, lock]
