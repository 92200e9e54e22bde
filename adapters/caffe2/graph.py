"""A Caffe2 net under construction, and the handful of primitives that the ONNX operators are made of.

Caffe2's symbols are blob names without shape or type, so each is kept together with both. Caffe2 checks types
only when a net runs; the table here refuses at load what its CPU kernels would refuse later.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core

from ..kit.interface import Unsupported
from . import ideep

#: Caffe2's element types by name: what Cast can read and write.
DATA_TYPES = {
    name: getattr(caffe2_pb2.TensorProto, constant)
    for name, constant in {
        "float32": "FLOAT",
        "float64": "DOUBLE",
        "int8": "INT8",
        "uint8": "UINT8",
        "int16": "INT16",
        "uint16": "UINT16",
        "int32": "INT32",
        "int64": "INT64",
        "bool": "BOOL",
    }.items()
}

#: Types that have gradients.
FLOATS = {"float16", "float32", "float64"}

_FLOAT = {"float32"}
_NUMBERS = {"float32", "float64", "int32", "int64"}
#: Types that Caffe2 stores, but computes with in int32 alone.
SMALL_INTEGERS = {"int8", "uint8", "int16", "uint16"}

_ANY = set(DATA_TYPES) | {"float16"}


def _types(operators: str, types: Set[str]) -> Dict[str, Set[str]]:
    return dict.fromkeys(operators.split(), types)


#: What the first input of a Caffe2 operator may hold; float32 alone where it is not listed.
TYPES = {
    **_types("Add Sub Mul Div Negative Sign Transpose ReduceSum ReduceMax ReduceMin", _NUMBERS),
    **_types("Cube Sum ArgMax ArgMin Expand", _NUMBERS),
    **_types("EQ NE LT LE GT GE", _NUMBERS | {"bool"}),
    **_types("And Or Xor Not Where", {"bool"}),
    **_types("BitwiseAnd BitwiseOr BitwiseXor", {"int32", "int64", "bool"}),
    **_types("Mod", {"int32", "int64"}),
    **_types("Mean Sqrt", {"float32", "float64"}),
    **_types("Copy Reshape ExpandDims Squeeze Slice Split Concat Gather StopGradient", _ANY),
    **_types("Tile", {"float32", "float64", "float16", "uint8", "int32", "int64"}),
    **_types("Cast", set(DATA_TYPES)),
    **_types("HalfToFloat", {"float16"}),
}


def masks(array: numpy.ndarray) -> bool:
    """Whether -inf is in it."""
    return array.dtype.kind == "f" and bool(numpy.isneginf(array).any())


#: Operators through which a mask of -inf reaches a Softmax.
MASKING = {"Add", "Cast", "Concat", "Copy", "Expand", "ExpandDims", "Gather", "Reshape", "Slice", "Squeeze", "Sub"}
MASKING |= {"Sum", "Tile", "Transpose", "Where"}


class Value:
    """A blob with the shape and element type it will have.

    array: its content where that is known at load and never changes, else None.
    masked: whether the net trains, and this may hold rows of nothing but -inf, by a mask. held: a parameter's Value in
    the form in which it is kept. turned: (x, perm) of a transpose of x. product: (x, weight) of their product by FC.
    source: what this is but another shape of. views: the other shapes of this.
    """

    __slots__ = ("array", "blob", "dtype", "graph", "held", "masked", "product", "shape", "source", "turned", "views")

    def __init__(self, graph: Graph, blob: str, shape: Sequence[int], dtype: str, array: Any = None):
        self.graph = graph
        self.blob = blob
        self.shape = tuple(int(extent) for extent in shape)
        self.dtype = dtype
        self.array = array
        self.masked = graph.training and array is not None and masks(array)
        self.held: Optional[Value] = None
        self.turned: Any = None
        self.product: Any = None
        self.source: Optional[Value] = None
        self.views: Dict[Tuple[int, ...], Value] = {}
        graph.shapes[blob] = self.shape
        if dtype in FLOATS:
            graph.floats.add(blob)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(numpy.prod(self.shape, dtype=numpy.int64))


class Graph:
    """The operators of one net in order, and the blobs that must be fed before it runs.

    training: whether gradients will be taken. library: "ideep" or "cudnn" where one of them does what it can, else "".
    updated: blobs that an operator may overwrite with their next
    value, because a training step replaces them (running statistics), with the factor by which they are kept larger.
    dangling: outputs whose gradient Caffe2 wants even where nothing reads them, with their shapes. floats: blobs of
    floating-point numbers. shapes: of all blobs. host: blobs that stay in the CPU's memory on any device.
    """

    def __init__(self, training: bool, library: str):
        self.training = training
        self.library = library
        self.updated: Dict[str, float] = {}
        self.operators: List[Any] = []
        self.fed: Dict[str, numpy.ndarray] = {}
        self.dangling: Dict[str, Tuple[int, ...]] = {}
        self.floats: Set[str] = set()
        self.shapes: Dict[str, Tuple[int, ...]] = {}
        self.host: Set[str] = set()
        self._count = 0
        self._constants: Dict[Any, Value] = {}

    def blob(self, what: str) -> str:
        """A new blob name. All end in a digit, so no gradient's name (…_grad) can collide with one."""
        self._count += 1
        return f"{what}_{self._count}"

    def pools_once(self, shape: Sequence[int], pads: Sequence[int]) -> bool:
        """Whether the gradient of a MaxPool of such an image goes to one of several equal elements, not to each."""
        return self.library == "cudnn" or (self.library == "ideep" and ideep.takes_image(shape, pads))

    def leaf(self, what: str, shape: Sequence[int], dtype: str, array: Any = None) -> Value:
        """An input or initializer of the net."""
        return Value(self, self.blob(what), shape, dtype, array)

    def constant(self, array: Any, dtype: Any = None, host: bool = False) -> Value:
        """A blob that is fed once; equal constants share one."""
        array = numpy.ascontiguousarray(array, dtype).reshape(numpy.shape(array))
        key = (array.dtype.name, array.shape, array.tobytes(), host)
        if key not in self._constants:
            value = self.leaf("constant", array.shape, array.dtype.name, array)
            self.fed[value.blob] = array
            self._constants[key] = value
            self.host.update([value.blob] if host else [])
        return self._constants[key]

    def add(self, op: str, inputs: Sequence[Any], outputs: Sequence[str], **arguments: Any) -> None:
        """Append one Caffe2 operator; inputs are Values or blob names, outputs blob names."""
        names = [getattr(value, "blob", value) for value in inputs]
        self.operators.append(core.CreateOperator(op, names, list(outputs), **arguments))


def needed(operators: Sequence[Any], blobs: Sequence[str]) -> List[Any]:
    """The operators that some of these blobs depend on, in order."""
    wanted, kept = set(blobs), []
    for operator in reversed(operators):
        if wanted.intersection(operator.output):
            wanted.update(operator.input)
            kept.append(operator)
    return kept[::-1]


Results = Sequence[Tuple[Sequence[int], str]]


def calls(op: str, inputs: Sequence[Value], results: Results, **arguments: Any) -> Tuple[Value, ...]:
    """Add an operator with several outputs, each given as (shape, dtype)."""
    first = inputs[0]
    allowed = TYPES.get(op, _FLOAT)
    if first.dtype not in allowed:
        raise Unsupported(f"Caffe2's {op} takes {', '.join(sorted(allowed))}, not {first.dtype}")
    graph = first.graph
    outputs = tuple(Value(graph, graph.blob(op), shape, dtype) for shape, dtype in results)
    graph.add(op, inputs, [output.blob for output in outputs], **arguments)
    if op in MASKING:
        outputs[0].masked = any(value.masked for value in inputs)
    return outputs


def call(op: str, *inputs: Value, shape: Any = None, dtype: Optional[str] = None, **arguments: Any) -> Value:
    """Add an operator with one output; by default its inputs' common shape and the first one's type."""
    if shape is None:
        shape = broadcast_shape(*inputs)
    return calls(op, inputs, [(shape, dtype or inputs[0].dtype)], **arguments)[0]


def broadcast_shape(*values: Value) -> Tuple[int, ...]:
    return numpy.broadcast(*(numpy.broadcast_to(0, value.shape) for value in values[:31])).shape


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def constant(like: Value, array: Any, dtype: Optional[str] = None) -> Value:
    """A constant in the graph and, unless told otherwise, of the element type of another value."""
    if (dtype or like.dtype) not in _ANY:
        raise Unsupported(f"Caffe2 has no element type {dtype or like.dtype}")
    return like.graph.constant(array, dtype or like.dtype)


def reshape(x: Value, shape: Sequence[int], in_place: bool = False) -> Value:
    """The same elements in another shape. in_place saves the copy, for a value that nothing else will read."""
    shape = tuple(int(extent) for extent in shape)
    if shape == x.shape:
        return x
    if x.array is not None:
        return constant(x, x.array.reshape(shape))
    if x.size == 0:
        # workaround: Caffe2's Reshape reads an extent of 0 as "keep", and an empty shape as none at all
        raise Unsupported("Caffe2 does not reshape empty tensors exactly")
    if in_place:
        x.graph.add("Reshape", [x], [x.blob, x.graph.blob("shape")], shape=list(shape))
        return Value(x.graph, x.blob, shape, x.dtype)
    x = x.source or x
    if shape not in x.views:
        x.views[shape] = x if shape == x.shape else _reshaped(x, shape)
        x.views[shape].source = x
    return x.views[shape]


def _reshaped(x: Value, shape: Tuple[int, ...]) -> Value:
    if x.rank == 0 and x.graph.training:
        # workaround: the gradient of Caffe2's Reshape does not reshape to rank 0; that of ExpandDims does
        x = call("ExpandDims", x, shape=(1,), dims=[0])
    if x.shape == shape:
        return x
    return calls("Reshape", [x], [(shape, x.dtype), ((x.rank,), "int64")], shape=list(shape))[0]


def transpose(x: Value, perm: Sequence[int]) -> Value:
    perm = [int(axis) for axis in perm]
    shape = [x.shape[axis] for axis in perm]
    moved = [axis for axis in perm if x.shape[axis] != 1]
    if perm == sorted(perm):
        return x
    if x.array is not None:
        return constant(x, x.array.transpose(perm))
    if moved == sorted(moved):
        return reshape(x, shape)
    if x.dtype not in TYPES["Transpose"]:
        # workaround: Caffe2 transposes only numbers of 4 and 8 bytes
        return cast(transpose(cast(x, "int32"), perm), x.dtype)
    result = call("Transpose", x, shape=shape, axes=perm)
    result.turned = (x, perm)
    return result


def move_axis(x: Value, source: int, target: int) -> Value:
    order = [axis for axis in range(x.rank) if axis != source]
    order.insert(target, source)
    return transpose(x, order)


def cast(x: Value, dtype: str) -> Value:
    if dtype == x.dtype:
        return x
    if x.dtype not in DATA_TYPES and (x.dtype, dtype) != ("float16", "float32"):
        raise Unsupported(f"Caffe2 does not cast from {x.dtype}")
    if dtype == "float16" and x.dtype == "float32":
        return call("FloatToHalf", x, dtype=dtype)
    if dtype == "float32" and x.dtype == "float16":
        return call("HalfToFloat", x, dtype=dtype)
    if dtype not in DATA_TYPES:
        raise Unsupported(f"Caffe2 does not cast to {dtype}")
    return call("Cast", x, dtype=dtype, to=DATA_TYPES[dtype], from_type=DATA_TYPES[x.dtype])


def expand(x: Value, shape: Sequence[int]) -> Value:
    """Broadcast to exactly this shape."""
    shape = tuple(int(extent) for extent in shape)
    if shape == x.shape:
        return x
    if x.array is not None:
        return constant(x, numpy.broadcast_to(x.array, shape))
    if x.dtype not in TYPES["Expand"]:
        # workaround: Caffe2 expands only numbers of 4 and 8 bytes
        return cast(expand(cast(x, "int32"), shape), x.dtype)
    return call("Expand", x, constant(x, shape, "int64"), shape=shape)


def own(x: Value) -> Value:
    """A copy in nets that train, for an operator whose gradient is made in several steps."""
    # workaround: Caffe2 adds such steps up where the operand has other readers: Pow and Sqrt are wrong then
    return call("Copy", x) if x.graph.training else x


def sqrt(x: Value) -> Value:
    return call("Sqrt", own(x))


def squared(x: Value) -> Value:
    # workaround: the gradient of Caffe2's Sqr doubles its operand, which may be that of another operator too
    return call("Mul", x, x)


def scale(x: Value, factor: float) -> Value:
    """x times a number."""
    return x if factor == 1 else call("Scale", x, scale=float(factor))


def add(a: Value, b: Value) -> Value:
    """a + b. The gradient of Sum, unlike that of Add, copies nothing."""
    plain = a.graph.training and a.shape == b.shape and a.blob != b.blob and a.dtype in TYPES["Sum"]
    return call("Sum" if plain else "Add", a, b)


def concat(tensors: Sequence[Value], axis: int) -> Value:
    if len(tensors) == 1:
        return tensors[0]
    first = tensors[0]
    if all(tensor.array is not None for tensor in tensors):
        return constant(first, numpy.concatenate([tensor.array for tensor in tensors], axis))
    shape = list(first.shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
    return calls("Concat", tensors, [(shape, first.dtype), ((len(tensors),), "int32")], axis=axis)[0]


def fc(x: Value, weight: Value, bias: Value) -> Value:
    """x @ weight.T + bias for a matrix x."""
    return call("FC", x, weight, bias, shape=(x.shape[0], weight.shape[0]))


def slice_axis(x: Value, axis: int, start: int, stop: int) -> Value:
    """x[start:stop] along one axis, with 0 <= start <= stop <= extent."""
    if (start, stop) == (0, x.shape[axis]):
        return x
    if x.array is not None:
        return constant(x, x.array[(slice(None),) * axis + (slice(start, stop),)])
    shape = list(x.shape)
    shape[axis] = stop - start
    starts = [0] * x.rank
    stops = list(x.shape)
    starts[axis], stops[axis] = start, stop
    return call("Slice", x, shape=shape, starts=starts, ends=stops)


def split_axis(x: Value, sizes: Sequence[int], axis: int) -> Tuple[Value, ...]:
    if len(sizes) == 1:
        return (x,)
    if x.array is not None:
        bounds = numpy.cumsum([0] + list(sizes))
        return tuple(slice_axis(x, axis, start, stop) for start, stop in zip(bounds[:-1], bounds[1:]))
    shapes = [x.shape[:axis] + (size,) + x.shape[axis + 1 :] for size in sizes]
    parts = calls("Split", [x], [(shape, x.dtype) for shape in shapes], axis=axis, split=[int(size) for size in sizes])
    x.graph.dangling.update((part.blob, part.shape) for part in parts)
    return parts


def take(x: Value, indices: Value, axis: int) -> Value:
    """Gather along one axis, counting negative indices from the end; its gradient is dense."""
    if indices.dtype not in ("int32", "int64"):
        raise Unsupported(f"Caffe2's Gather takes int32 or int64 indices, not {indices.dtype}")
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    extent = x.shape[axis]
    if indices.array is not None:
        indices = constant(indices, numpy.where(indices.array < 0, indices.array + extent, indices.array))
    elif not x.graph.training:
        return call("Gather", x, indices, shape=shape, axis=axis, wrap_indices=1)
    else:
        # workaround: the gradient of Caffe2's Gather does not count negative indices from the end
        indices = call("Mod", indices, divisor=extent, sign_follow_divisor=1)
    # workaround: the dense gradient of Caffe2's Gather wants a list of indices
    flat = reshape(indices, (indices.size,))
    arguments = {"dense_gradient": 1} if axis == 0 else {}
    gathered = call("Gather", x, flat, shape=x.shape[:axis] + flat.shape + x.shape[axis + 1 :], axis=axis, **arguments)
    return reshape(gathered, shape)


def first_largest(x: Value) -> Value:
    """The maximum over the last axis; its gradient goes to the first of equal elements."""
    shape = x.shape[:-1] + (1,)
    values, _ = calls("TopK", [x], [(shape, x.dtype), (shape, "int64")], k=1, axis=x.rank - 1)
    return reshape(values, x.shape[:-1])
