"""Load an ONNX file: check it, bound it, hash it, and keep its weights apart from its graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from harness.errors import HarnessError, did_you_mean
from harness.kit import arrays

#: A file with more nodes than this is refused: no framework would be measured on it, only our patience.
MAX_NODES = 200_000

#: Graphs nested deeper than this (If in Loop in Scan ...) are refused.
MAX_DEPTH = 16

#: No tensor of a file may claim more elements than this.
MAX_ELEMENTS = 2**40

#: Protobuf's own limit on one message; weights beyond it belong in external data files.
MAX_FILE_BYTES = 2**31 - 1

#: Initializers of more bytes than this are kept outside the graph.
_HELD_BYTES = 1024

#: The external-data location that marks an initializer whose array is in `Model.weights`.
_HELD = "harness:held"


@dataclass(frozen=True)
class Model:
    """A checked ONNX file.

    proto: the model, its larger initializers reduced to their type and shape. weights: the arrays of those, by
    name; arrays in external files are mapped, not read. sha256: of the file and of all external data it uses.
    """

    name: str
    path: Path
    sha256: str
    proto: ModelProto
    weights: dict[str, numpy.ndarray]

    def array(self, tensor: TensorProto) -> numpy.ndarray:
        """The values of an initializer of `proto`."""
        return self.weights[tensor.name] if is_held(tensor) else numpy_helper.to_array(tensor)


def load(path: Path) -> Model:
    """Read and check an ONNX file. Raises HarnessError that says what is wrong with it and where."""
    proto, sha256 = _parse(path)
    _check_bounds(proto.graph, path)
    for training in proto.training_info:
        _check_bounds(training.algorithm, path)
    _densify(proto.graph, path)
    proto, weights = _hold_weights(proto, path, sha256)
    sort_nodes(proto.graph, path)
    _check_onnx(proto, path)
    return Model(path.stem, path, sha256.hexdigest(), proto, weights)


def from_proto(proto: ModelProto, name: str) -> Model:
    """A model that was made in memory; checked like a file."""
    path = Path(f"{name}.onnx")
    copy = ModelProto()
    copy.CopyFrom(proto)
    _check_bounds(copy.graph, path)
    sha256 = hashlib.sha256(proto.SerializeToString(deterministic=True))
    kept, weights = _hold_weights(copy, path, sha256)
    sort_nodes(kept.graph, path)
    _check_onnx(kept, path)
    return Model(name, path, sha256.hexdigest(), kept, weights)


def with_weights(proto: ModelProto, weights: Mapping[str, numpy.ndarray]) -> ModelProto:
    """A copy of a model's proto that holds its weights itself again."""
    full = ModelProto()
    full.CopyFrom(proto)
    for tensor in full.graph.initializer:
        if is_held(tensor):
            tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(weights[tensor.name]), tensor.name))
    return full


def with_fixed_inputs(model: Model, values: Mapping[str, float]) -> Model:
    """A model some of whose inputs are constants: settings of the network (a sampling rate), not data.

    values: one number for each of these inputs. Raises HarnessError for a name that is no input of one number.
    """
    if not values:
        return model
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    inputs = {value.name: value for value in proto.graph.input}
    for name, number in values.items():
        if name not in inputs:
            raise HarnessError(f"{model.path}: it has no input {name!r}", did_you_mean(name, list(inputs)))
        kind = inputs[name].type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        if any(extent != 1 for extent in shape):
            raise HarnessError(f"{model.path}: input {name!r} is not one number: its shape is {shape}")
        array = numpy.full(shape, number, helper.tensor_dtype_to_np_dtype(kind.elem_type))
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
        proto.graph.input.remove(inputs[name])
    sha256 = hashlib.sha256(f"{model.sha256} {sorted(values.items())}".encode()).hexdigest()
    return replace(model, proto=proto, sha256=sha256)


def is_held(tensor: TensorProto) -> bool:
    """Whether an initializer's array is in `Model.weights` and not in the graph."""
    return any(entry.key == "location" and entry.value == _HELD for entry in tensor.external_data)


def held_as_inputs(proto: ModelProto) -> ModelProto:
    """A copy whose held initializers are graph inputs: for tools that want every initializer to have its data."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    declared = {value.name for value in copy.graph.input}
    held = [tensor for tensor in copy.graph.initializer if is_held(tensor)]
    kept = [tensor for tensor in copy.graph.initializer if not is_held(tensor)]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    for tensor in held:
        if tensor.name not in declared:
            copy.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return copy


def hold_again(proto: ModelProto, original: ModelProto) -> None:
    """Undo `held_as_inputs` on what a tool made of its result; `original` is what was given to it."""
    held = {tensor.name: tensor for tensor in original.graph.initializer if is_held(tensor)}
    declared = {value.name for value in original.graph.input}
    kept = [value for value in proto.graph.input if value.name not in held or value.name in declared]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    proto.graph.initializer.extend(held.values())


def opset_of(proto: ModelProto) -> int:
    """The version of the default operator set that a model imports; 1 where it imports none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def fed_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The graph's inputs that a caller feeds: old files list their initializers among the inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that are attributes of a node (branches of If, bodies of Loop and Scan)."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def node_label(node: NodeProto) -> str:
    """How messages name a node: its operator, and its name or first output."""
    return f"{node.op_type} ({node.name or (node.output[0] if node.output else 'unnamed')})"


def _parse(path: Path) -> tuple[ModelProto, hashlib._Hash]:
    """The model in a file, and the digest of the file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise HarnessError(
            f"{path}: {what}", "Give the path of an .onnx file; `harness list models` names built-in ones."
        )
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise HarnessError(
            f"{path}: {size:,} bytes; a protobuf file ends at {MAX_FILE_BYTES:,}",
            "Save it with its weights as external data: onnx.save(model, path, save_as_external_data=True).",
        )
    data = path.read_bytes()
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise HarnessError(f"{path}: not an ONNX file, or a truncated one", "Export or download it again.") from None
    if not proto.ir_version or not proto.HasField("graph"):
        raise HarnessError(f"{path}: not an ONNX file: it holds no graph", "Export or download it again.")
    return proto, hashlib.sha256(data)


def _check_bounds(graph: GraphProto, path: Path) -> None:
    """Refuse what would only waste time or memory, before any tool looks at it."""
    nodes, waiting = 0, [(graph, 0)]
    while waiting:
        current, depth = waiting.pop()
        nodes += len(current.node)
        if nodes > MAX_NODES:
            raise HarnessError(
                f"{path}: more than {MAX_NODES:,} nodes", "The harness measures models; split or simplify this graph."
            )
        if depth > MAX_DEPTH:
            raise HarnessError(f"{path}: graphs nested more than {MAX_DEPTH} deep", "Flatten its control flow.")
        waiting += [(body, depth + 1) for node in current.node for body in subgraphs(node)]
        for tensor in current.initializer:
            _check_tensor(tensor, f"{path}: initializer {tensor.name!r}")
        for node in current.node:
            for attribute in node.attribute:
                for tensor in [attribute.t, *attribute.tensors]:
                    if tensor.data_type:
                        _check_tensor(tensor, f"{path}: {node_label(node)}: attribute {attribute.name!r}")


def _check_tensor(tensor: TensorProto, where: str) -> None:
    """A tensor must have a known type, sane extents, and as many bytes as they need."""
    try:
        bits = _element_bits(tensor.data_type)
    except KeyError:
        raise HarnessError(f"{where}: element type {tensor.data_type} is unknown", "Export the model again.") from None
    if any(extent < 0 for extent in tensor.dims):
        raise HarnessError(f"{where}: negative extent in shape {list(tensor.dims)}", "Export the model again.")
    elements = arrays.element_count(tensor.dims)
    if elements > MAX_ELEMENTS:
        raise HarnessError(f"{where}: shape {list(tensor.dims)} has {elements:,} elements", "Export the model again.")
    if tensor.data_location == TensorProto.EXTERNAL or tensor.data_type == TensorProto.STRING:
        return
    expected = (elements * bits + 7) // 8
    if tensor.HasField("raw_data") and len(tensor.raw_data) != expected:
        raise HarnessError(
            f"{where}: shape {list(tensor.dims)} needs {expected:,} bytes and it has {len(tensor.raw_data):,}",
            "The file is damaged or was written wrongly; export it again.",
        )
    if not tensor.HasField("raw_data"):
        try:
            numpy_helper.to_array(tensor)
        except Exception as error:  # onnx raises many kinds here
            raise HarnessError(f"{where}: its data do not fit its shape {list(tensor.dims)}: {error}") from None


def _element_bits(data_type: int) -> int:
    name = TensorProto.DataType.Name(data_type) if data_type in TensorProto.DataType.values() else ""
    if not name or name == "UNDEFINED":
        raise KeyError(data_type)
    small = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    return small.get(name) or helper.tensor_dtype_to_np_dtype(data_type).itemsize * 8


def _densify(graph: GraphProto, path: Path) -> None:
    """Sparse initializers become dense ones, within the bounds of a tensor."""
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        if arrays.element_count(sparse.dims) > MAX_NODES * 1000:
            raise HarnessError(f"{path}: sparse initializer {name!r} would be dense with shape {list(sparse.dims)}")
        dense = numpy.zeros(tuple(sparse.dims), helper.tensor_dtype_to_np_dtype(sparse.values.data_type))
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        try:
            if indices.ndim == 1:
                dense.reshape(-1)[indices] = values
            else:
                dense[tuple(indices.T)] = values
        except IndexError as error:
            raise HarnessError(f"{path}: sparse initializer {name!r}: {error}", "Export the model again.") from None
        graph.initializer.append(numpy_helper.from_array(dense, name))
    del graph.sparse_initializer[:]


def _hold_weights(proto: ModelProto, path: Path, sha256: hashlib._Hash) -> tuple[ModelProto, dict[str, numpy.ndarray]]:
    """A model whose larger initializers are only their type and shape, and the arrays of those.

    The model is made anew: the old one's memory is one piece, and lives as long as any part of it.
    """
    weights = {}
    for tensor in proto.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            array = _external(tensor, path)
            sha256.update(numpy.ascontiguousarray(array).view("u1").reshape(-1).data)
        elif tensor.ByteSize() > _HELD_BYTES and tensor.data_type != TensorProto.STRING:
            array = numpy_helper.to_array(tensor)
        else:
            continue
        weights[tensor.name] = array
        stub = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=list(tensor.dims))
        stub.data_location = TensorProto.EXTERNAL
        stub.external_data.add(key="location", value=_HELD)
        tensor.CopyFrom(stub)
    return ModelProto.FromString(proto.SerializeToString()), weights


def _external(tensor: TensorProto, path: Path) -> numpy.ndarray:
    """Map an initializer's external data. It must lie in the model's own folder and be long enough."""
    where = f"{path}: initializer {tensor.name!r}"
    facts = {entry.key: entry.value for entry in tensor.external_data}
    location = facts.get("location", "")
    folder = path.resolve().parent
    file = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        raise HarnessError(
            f"{where}: its external data {location!r} lie outside the model's folder",
            "This is refused for safety: put the data file beside the .onnx file and name it relatively.",
        )
    if not file.is_file():
        raise HarnessError(f"{where}: its external data file {location!r} is missing", "Put it beside the .onnx file.")
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    try:
        offset = int(facts.get("offset") or 0)
        length = int(facts.get("length") or arrays.element_count(tensor.dims) * dtype.itemsize)
    except ValueError:
        raise HarnessError(f"{where}: offset and length of its external data must be numbers") from None
    expected = arrays.element_count(tensor.dims) * dtype.itemsize
    if offset < 0 or length != expected or offset + length > file.stat().st_size:
        raise HarnessError(
            f"{where}: shape {list(tensor.dims)} needs {expected:,} bytes; {location!r} gives {length:,} at {offset:,} "
            f"of {file.stat().st_size:,}",
            "The data file is truncated or belongs to another model.",
        )
    if expected == 0:
        return numpy.zeros(tuple(tensor.dims), dtype)
    return numpy.memmap(file, dtype, "r", offset, tuple(tensor.dims))


def sort_nodes(graph: GraphProto, path: Path | str) -> None:
    """Put nodes into an order in which they can run. Raises HarnessError for a cycle or a name without a source."""
    made_by: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and name in made_by:
                raise HarnessError(f"{path}: tensor {name!r} is made by two nodes", "Export the model again.")
            made_by[name] = index
    needs = [sorted({made_by[name] for name in _reads(node) if name in made_by}) for node in graph.node]
    if all(source < index for index, sources in enumerate(needs) for source in sources):
        return
    order = _topological(needs)
    if len(order) < len(graph.node):
        sortable = set(order)
        stuck = next(node for index, node in enumerate(graph.node) if index not in sortable)
        raise HarnessError(
            f"{path}: a cycle through {node_label(stuck)}", "A model is an acyclic graph; export it again."
        )
    nodes = [graph.node[index] for index in order]
    ordered = GraphProto()
    ordered.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(ordered.node)


def _reads(node: NodeProto) -> Iterator[str]:
    """Names that a node needs, those that its subgraphs take from outside included."""
    yield from (name for name in node.input if name)
    for body in subgraphs(node):
        for inner in body.node:
            yield from _reads(inner)
        yield from (value.name for value in body.output)


def _topological(needs: list[list[int]]) -> list[int]:
    """Kahn's algorithm, keeping the given order where it can; nodes on a cycle are left out."""
    users: list[list[int]] = [[] for _ in needs]
    for index, sources in enumerate(needs):
        for source in sources:
            users[source].append(index)
    missing = [len(sources) for sources in needs]
    ready = [index for index, count in enumerate(missing) if count == 0]
    order = []
    for index in ready:
        order.append(index)
        for user in users[index]:
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    return order


def _check_onnx(proto: ModelProto, path: Path) -> None:
    light = held_as_inputs(proto)
    del light.training_info[:]
    for value in light.graph.output:  # the checker wants a shape here, which exporters leave out and nobody needs
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(light)
    except Exception as error:  # ValidationError, and others from the C++ side
        raise HarnessError(
            f"{path}: not a valid ONNX model: {_first_lines(error)}", "Export the model again."
        ) from None


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:400]
