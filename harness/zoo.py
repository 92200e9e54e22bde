"""The model zoo: names, titles, and the .onnx file of each model, committed or built from its script."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import onnx

from harness.errors import HarnessError, did_you_mean
from harness.folders import make_whole
from harness.paths import MODELS

_PACKAGE = "_harness_models"

#: Files up to this many bytes are committed beside their script; larger ones are built where they are needed.
COMMITTED_BYTES = 1_300_000

#: Weights of more bytes than this are kept in a file beside the .onnx.
EXTERNAL_BYTES = 100_000_000


def names() -> list[str]:
    """Every model of the zoo, in alphabetical order."""
    return sorted(path.stem for path in MODELS.glob("*.py") if not path.stem.startswith("_") and path.stem != "build")


def describe(name: str) -> str:
    """One line about a model."""
    return str(_script(name).TITLE)


def build(name: str) -> onnx.ModelProto:
    """Run a model's script."""
    model: onnx.ModelProto = _script(name).build()
    return model


def path(name: str, cache: Path) -> Path:
    """The model's .onnx file: the committed one, or one built into `cache` unless it is there already.

    A built file's folder is named by the scripts it came from, so that a changed script is built anew.
    """
    if name not in names():
        raise HarnessError(f"unknown model {name!r}", did_you_mean(name, names()))
    committed = MODELS / f"{name}.onnx"
    if committed.is_file():
        return committed
    folder = cache / f"{name}-{_fingerprint(name)}"
    if not folder.is_dir():
        _build_into(folder, name)
    return folder / f"{name}.onnx"


def save(model: onnx.ModelProto, file: Path) -> None:
    """Write a model, always in the same bytes; weights beyond EXTERNAL_BYTES go into FILE.data. Changes the model."""
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights > EXTERNAL_BYTES:
        file.with_name(f"{file.name}.data").unlink(missing_ok=True)  # onnx would append to it
        onnx.save(model, file, save_as_external_data=True, location=f"{file.name}.data")
    else:
        file.write_bytes(model.SerializeToString(deterministic=True))


def _build_into(folder: Path, name: str) -> None:
    try:
        make_whole(folder, lambda scratch: save(build(name), scratch / f"{name}.onnx"))
    except OSError as error:
        raise HarnessError(
            f"model {name!r} cannot be written to {folder.parent}: {os.strerror(error.errno or 0)}",
            "Free some space, or set HARNESS_HOME to a folder that can be written.",
        ) from None


def _fingerprint(name: str) -> str:
    from harness.spec import optimizers, training_add

    digest = hashlib.sha256()
    writers = [Path(str(module.__file__)) for module in (optimizers, training_add)]
    for source in (MODELS / f"{name}.py", *sorted(MODELS.glob("_*.py")), *writers):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _script(name: str) -> ModuleType:
    """A model's script, loaded from the folder of the zoo and never from somebody's package called `models`."""
    if name not in names():
        raise HarnessError(f"unknown model {name!r}", did_you_mean(name, names()))
    if _PACKAGE not in sys.modules:
        location = importlib.util.spec_from_file_location(
            _PACKAGE, MODELS / "__init__.py", submodule_search_locations=[str(MODELS)]
        )
        assert location is not None and location.loader is not None
        package = importlib.util.module_from_spec(location)
        sys.modules[_PACKAGE] = package
        location.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.{name}")
