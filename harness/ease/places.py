"""Texts that are kept must not name the places of one machine, nor addresses in memory, which are others each time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.environments import Environment
from harness.paths import ADAPTERS, home

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def places_of(environment: Environment, folder: Path, program: Path) -> dict[Path, str]:
    """What a program may name, and what stands for it: the folder that it runs in, its adapter, its environment, Python
    itself, and what the harness keeps."""
    return {
        folder: ".",
        program.parent.parent: f"adapters/{program.parent.parent.name}",
        ADAPTERS: "adapters",
        environment.python.parent.parent: "ENVIRONMENT",
        environment.python.resolve().parent.parent: "PYTHON",
        home(): "HARNESS_HOME",
        Path.home(): "HOME",
    }


def without(text: str, places: Mapping[Path, str]) -> str:
    """A text in which every place is replaced, the longest first: one may lie within another; and every address."""
    text = _ADDRESS.sub("0x…", text)
    for place, word in sorted(places.items(), key=lambda entry: -len(str(entry[0]))):
        for form in dict.fromkeys((str(place), str(place.resolve()))):
            text = text.replace(form, word)
    return text
