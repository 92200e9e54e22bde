"""Compare deep-learning frameworks fairly: one ONNX model, every framework, one clock."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from harness.results import Run

__version__ = "0.1.0"

__all__ = ["load"]


def load(path: Path | str) -> Run:
    """A run as pandas frames: `run = harness.load("reports/NAME")`; see `harness.results.Run`."""
    from harness import results

    return results.load(path)


def __getattr__(name: str) -> Any:
    """`harness.ease` without an import of its own: it loads pandas, which the command line does not need at once."""
    if name == "ease":
        return importlib.import_module("harness.ease")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
