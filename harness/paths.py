"""Where things lie: the adapters and models that come with the harness, and what it makes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def _beside(name: str) -> Path:
    """A folder of the checkout, or the copy of it that a wheel carries inside the package."""
    bundled = _PACKAGE / "bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


ADAPTERS = _beside("adapters")
MODELS = _beside("models")
SUITES = _PACKAGE / "suites"


def home() -> Path:
    """Environments, bundles and references live here; everything in it can be made again.

    The user's cache folder, or the folder that the variable HARNESS_HOME names.
    """
    return Path(os.environ.get("HARNESS_HOME") or platformdirs.user_cache_dir("harness")).absolute()
