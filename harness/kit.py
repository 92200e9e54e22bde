"""The wire format that controller and workers share: messages, raw arrays, Programs.

The folder `adapters/` is loaded from where it lies (the checkout, or inside an installed harness), never from
a package of that name that somebody else installed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.paths import ADAPTERS

if TYPE_CHECKING:
    from adapters.kit import arrays, program, wire
    from adapters.kit.program import Node, Optimizer, Program, Tensor, Training
else:
    _NAME = "_harness_adapters"

    def _load_package(folder: Path) -> None:
        location = importlib.util.spec_from_file_location(
            _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(location)
        sys.modules[_NAME] = module
        location.loader.exec_module(module)

    _load_package(ADAPTERS)
    arrays = importlib.import_module(f"{_NAME}.kit.arrays")
    program = importlib.import_module(f"{_NAME}.kit.program")
    wire = importlib.import_module(f"{_NAME}.kit.wire")
    Node, Optimizer, Program = program.Node, program.Optimizer, program.Program
    Tensor, Training = program.Tensor, program.Training

__all__ = ["Node", "Optimizer", "Program", "Tensor", "Training", "arrays", "program", "wire"]
