"""The worker side of the harness in this process, for a proof that has to be seen from inside a framework.

A proof is called with two files: PLAN, a JSON object {"adapter", "device", "threads", "networks": [{"model", "what",
"bundle", "inputs"}]}, and RESULT, where its findings go. It needs the framework and numpy, nothing that the controller
needs.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_ADAPTERS = Path(__file__).resolve().parent.parent / "adapters"


def worker(adapter: str) -> Any:
    """A `kit.worker.Worker` for an adapter, which has imported its framework."""
    location = importlib.util.spec_from_file_location("kit_start", _ADAPTERS / "kit" / "start.py")
    assert location is not None and location.loader is not None
    start = importlib.util.module_from_spec(location)
    location.loader.exec_module(start)
    start._load_package(str(_ADAPTERS))
    made = importlib.import_module("adapters.kit.worker").Worker(adapter, start.STARTED_NS)
    made.do_hello()
    return made


@contextlib.contextmanager
def loaded(made: Any, network: dict[str, Any], device: str, **options: Any) -> Iterator[Any]:
    """One network of a plan, loaded with options of `kit.interface.Options`, closed afterwards."""
    made.do_load(0, network["bundle"], device, options)
    try:
        yield made.loaded[0]
    finally:
        made.do_close(0)


def main(prove: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read the plan, prove, write the result."""
    plan, result = map(Path, sys.argv[1:3])
    result.write_text(json.dumps(prove(json.loads(plan.read_text())), indent=1) + "\n")
