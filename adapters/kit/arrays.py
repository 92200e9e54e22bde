"""Arrays as raw files: a `.bin` of little-endian, row-major bytes and a `.json` that says what lies where."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterable, Mapping, Sequence

import numpy

#: Each array starts at a multiple of this many bytes, so that it can be mapped and used in place.
ALIGNMENT = 64

#: Element types that numpy does not have, and the integer type that carries them: the bits of floats, in a byte each
#: where they are fewer than eight; the values of integers.
CARRIERS = {
    "bfloat16": "uint16",
    "float8e4m3fn": "uint8",
    "float8e4m3fnuz": "uint8",
    "float8e5m2": "uint8",
    "float8e5m2fnuz": "uint8",
    "float8e8m0": "uint8",
    "float4e2m1": "uint8",
    "int4": "int8",
    "uint4": "uint8",
    "int2": "int8",
    "uint2": "uint8",
}

#: Strings, which numpy holds as objects, and files as a JSON list.
TEXT = "string"

#: The integers among them.
SMALL_INTEGERS = ("int4", "uint4", "int2", "uint2")

#: What the package ml_dtypes, which gives numpy such types, calls them where that is not ONNX's name in lower case.
_ML_DTYPES = {
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e4m3fnuz": "float8e4m3fnuz",
    "float8_e5m2": "float8e5m2",
    "float8_e5m2fnuz": "float8e5m2fnuz",
    "float8_e8m0fnu": "float8e8m0",
    "float4_e2m1fn": "float4e2m1",
}


def name_of(dtype: numpy.dtype) -> str:
    """The Program's name of an array's element type; arrays of objects and of text hold strings."""
    if dtype.kind in "OU":
        return TEXT
    return _ML_DTYPES.get(dtype.name, dtype.name)


def carried(array: numpy.ndarray) -> numpy.ndarray:
    """An array as it lies in a file: of numpy's own types, whatever package gave it its element type."""
    array = numpy.ascontiguousarray(array).reshape(numpy.shape(array))
    name = name_of(array.dtype)
    if name not in CARRIERS:
        return array
    return array.astype(CARRIERS[name]) if name in SMALL_INTEGERS else array.view(CARRIERS[name])


def carrier(dtype: str) -> numpy.dtype:
    """The numpy type that holds values of an element type of the Program."""
    return numpy.dtype(object if dtype == TEXT else CARRIERS.get(dtype, dtype))


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
            entry = {"dtype": name_of(array.dtype), "shape": list(array.shape), "offset": file.tell()}
            index[name] = entry
            if entry["dtype"] == TEXT:
                entry["bytes"] = file.write(json.dumps(array.reshape(-1).tolist()).encode())
            else:
                file.write(carried(array).tobytes())
    with open(path + ".json", "w") as file:
        json.dump(index, file)
    return index


def read_arrays(path: str) -> Dict[str, numpy.ndarray]:
    """What `write_arrays` wrote, as read-only arrays mapped from the file."""
    with open(path + ".json") as file:
        index = json.load(file)
    return {name: _read_array(path + ".bin", **entry) for name, entry in index.items()}


def _read_array(path: str, dtype: str, shape: Sequence[int], offset: int, bytes: int = 0) -> numpy.ndarray:
    if dtype != TEXT:
        return map_array(path, dtype, shape, offset)
    with open(path, "rb") as file:
        file.seek(offset)
        return numpy.array(json.loads(file.read(bytes).decode()), object).reshape(tuple(shape))
