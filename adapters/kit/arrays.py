"""Arrays as raw files: a `.bin` of little-endian, row-major bytes and a `.json` that says what lies where."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterable, Mapping, Sequence

import numpy

#: Each array starts at a multiple of this many bytes, so that it can be mapped and used in place.
ALIGNMENT = 64

#: Element types that numpy does not have, and the integer type that carries their bits.
CARRIERS = {
    "bfloat16": "uint16",
    "float8e4m3fn": "uint8",
    "float8e4m3fnuz": "uint8",
    "float8e5m2": "uint8",
    "float8e5m2fnuz": "uint8",
}


def carrier(dtype: str) -> numpy.dtype:
    """The numpy type that holds values of an element type of the Program."""
    return numpy.dtype(CARRIERS.get(dtype, dtype))


def element_count(shape: Iterable[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def map_array(path: str, dtype: str, shape: Sequence[int], offset: int) -> numpy.ndarray:
    """A read-only view of one array in a raw file. Raises ValueError if the file is too short for it."""
    kind, count = carrier(dtype), element_count(shape)
    if count == 0:
        return numpy.zeros(tuple(shape), kind)
    if offset + count * kind.itemsize > os.path.getsize(path):
        raise ValueError(f"{path}: {dtype}{list(shape)} at byte {offset} reaches past the end of the file")
    return numpy.memmap(path, kind, "r", offset, tuple(shape))


def write_arrays(path: str, arrays: Mapping[str, numpy.ndarray]) -> Dict[str, Any]:
    """Write `path`.bin and `path`.json; returns the index {name: {dtype, shape, offset}}."""
    index = {}
    with open(path + ".bin", "wb") as file:
        for name, array in arrays.items():
            array = numpy.asarray(array)
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            index[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": file.tell()}
            file.write(numpy.ascontiguousarray(array).tobytes())
    with open(path + ".json", "w") as file:
        json.dump(index, file)
    return index


def read_arrays(path: str) -> Dict[str, numpy.ndarray]:
    """What `write_arrays` wrote, as read-only arrays mapped from the file."""
    with open(path + ".json") as file:
        index = json.load(file)
    return {
        name: map_array(path + ".bin", entry["dtype"], entry["shape"], entry["offset"]) for name, entry in index.items()
    }
