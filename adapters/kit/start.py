"""The program that a worker process runs: `python start.py ADAPTER_FOLDER REQUESTS_FD REPLIES_FD`.

It loads the `adapters` package from where this file lies, and no other way: neither `adapters/` nor the folder above
it is on the path, so `adapters/torch` cannot hide torch, and `tests` or `models` cannot hide anybody's module.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import signal
import sys
import time

STARTED_NS = time.monotonic_ns()

_PR_SET_PDEATHSIG = 1


def _die_with_the_controller() -> None:
    """A worker sees its pipe close when the controller is gone, but not while it is parked: let the kernel end it."""
    with contextlib.suppress(OSError, AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _load_package(folder: str) -> None:
    location = importlib.util.spec_from_file_location(
        "adapters", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    module = importlib.util.module_from_spec(location)
    sys.modules["adapters"] = module
    location.loader.exec_module(module)


def main() -> None:
    _die_with_the_controller()
    adapter_folder, requests, replies = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kit_folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != kit_folder]
    package_folder = os.path.dirname(kit_folder)
    _load_package(package_folder)
    parent, name = os.path.split(os.path.abspath(adapter_folder))
    if parent != package_folder:
        sys.modules["adapters"].__path__.insert(0, parent)
    importlib.import_module("adapters.kit.worker").serve(name, requests, replies, STARTED_NS)


if __name__ == "__main__":
    main()
