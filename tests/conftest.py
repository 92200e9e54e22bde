"""Fixtures of the controller's tests: a home of their own, and the specimens that misbehave on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

SPECIMENS = Path(__file__).parent / "specimens"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--adapter", default=None, help="ADAPTER-DEVICE whose real framework tests/adapters runs.")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for everything that the harness makes."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HARNESS_HOME", str(folder))
    return folder
