"""Compare deep-learning frameworks fairly: one ONNX model, every framework, one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.results import Run

__version__ = "0.1.0"

__all__ = ["load"]


def load(path: Path | str) -> Run:
    """A run as pandas frames: `run = harness.load("reports/NAME")`; see `harness.results.Run`."""
    from harness import results

    return results.load(path)
