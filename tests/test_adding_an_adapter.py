"""The commands of docs/adding-an-adapter.md do what the page says, in the order in which a reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "adding-an-adapter.md"

#: A fenced block: its language, what stands behind it, and its text.
BLOCK = re.compile(r"^```(\w+)(?: exit=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, int, str]]:
    return [(language, int(code or 0), text) for language, code, text in BLOCK.findall(PAGE.read_text())]


def test_the_page_can_be_read_in_a_quarter_of_an_hour() -> None:
    assert len(PAGE.read_text().split()) < 15 * 150


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The harness that is tested comes first on PATH; lines are as long as they have to be."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HARNESS_HOME": str(tmp_path / "home"), "COLUMNS": "400"}


def test_its_commands_print_what_it_quotes(tmp_path: Path, environ: dict[str, str]) -> None:
    printed = None
    for language, code, text in blocks():
        if language == "sh":
            done = subprocess.run(
                ["bash", "-e", "-c", text], capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=120
            )
            printed = done.stdout
            assert done.returncode == code, f"{text}\n{done.stdout}\n{done.stderr}"
        elif language == "text":
            assert printed is not None
            for line in text.splitlines():
                assert line in printed, f"{line!r} is not in\n{printed}"
