"""What the operator modules share: extents, constants, element types, movements of data.

Theano's variables know their element type and rank, and which extents are 1. The lowering writes down the rest in
their tag: `extents`, a tuple of ints, and `array`, the numbers of those that are constant. A variable that is made
within an operator function has no tag; where its extents matter the function knows them.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy

import theano.tensor as T

from ..kit.interface import Unsupported

FLOATS = ("float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
TYPES = FLOATS + SIGNED + UNSIGNED + ("bool", "float16")


def extents(x: Any) -> tuple:
    return x.tag.extents


def is_float(x: Any) -> bool:
    return x.dtype.startswith("float")


def constant(array: Any, dtype: str = "") -> Any:
    """Numbers of the graph, of exactly this element type: Theano chooses one by itself for Python's."""
    array = numpy.asarray(array, dtype) if dtype else numpy.asarray(array)
    made = T.constant(array)
    made.tag.extents, made.tag.array = array.shape, array
    return made


def known(x: Any) -> Any:
    """The numbers of a constant, else None."""
    return getattr(x.tag, "array", None)


def require(x: Any, types: Sequence[str], what: str) -> None:
    """Refuse element types for which Theano's operator is missing or not exact."""
    if x.dtype not in types:
        raise Unsupported("Theano does not do %s for %s" % (what, x.dtype))


def patterned(x: Any, shape: Sequence[int]) -> Any:
    """x, told which of its extents are 1, so that it broadcasts there and nowhere else."""
    pattern = tuple(extent == 1 for extent in shape)
    return x if x.broadcastable == pattern else T.patternbroadcast(x, pattern)


def reshape(x: Any, shape: Sequence[int]) -> Any:
    shape = tuple(int(extent) for extent in shape)
    return patterned(T.reshape(x, shape, ndim=len(shape)) if shape else x.flatten()[0], shape)


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    return T.alloc(x, *[int(extent) for extent in shape]) if len(shape) else x


def full(shape: Sequence[int], number: Any, dtype: str) -> Any:
    return broadcast_to(constant(number, dtype), shape)


def along(rank: int, axis: int, one: Any) -> tuple:
    """An index that takes `one` on an axis and everything else."""
    return tuple(one if i == axis else slice(None) for i in range(rank))


def padded(x: Any, shape: Sequence[int], before: Sequence[int], after: Sequence[int], number: Any) -> Any:
    """x of this shape within a frame of a number."""
    if not any(before) and not any(after):
        return x
    outer = [extent + b + a for extent, b, a in zip(shape, before, after)]
    inner = tuple(slice(b, b + extent) for extent, b in zip(shape, before))
    return T.set_subtensor(full(outer, number, x.dtype)[inner], x)


def per_channel(x: Any, rank: int) -> Any:
    """A vector of channels in a shape that broadcasts against (N, C, ...)."""
    return x.dimshuffle("x", 0, *["x"] * (rank - 2))


def folded(function: Any, tensors: Sequence[Any]) -> Any:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = function(result, tensor)
    return result
