"""Concrete types of a node's outputs: by ONNX's own inference, and by rules of ours where ONNX has none or errs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import onnx
from onnx import NodeProto, TypeProto, numpy_helper
from onnx.shape_inference import infer_node_outputs

from harness.errors import HarnessError
from harness.kit import Tensor
from harness.spec import elements
from harness.spec.known import Known
from harness.spec.model import node_label
from harness.spec.unsupported import UnsupportedModel

#: Constants of more elements than this steer no shapes, and are not shown to ONNX's inference.
_SMALL = 1024


def infer(node: NodeProto, schema: Any, known: Known, imports: Sequence[onnx.OperatorSetIdProto]) -> None:
    """Add the types of a node's outputs to what is known.

    Raises HarnessError where the types of its inputs are wrong, UnsupportedModel where those of its outputs depend on
    data.
    """
    names = [name for name in node.input if name]
    unknown = next((name for name in names if name not in known.types), None)
    if unknown is not None:
        raise _unreadable(node, unknown, known)
    rule = _RULES.get(node.op_type)
    ours = rule(node, known) if rule else None
    if ours is not None:
        known.types[ours.name] = ours
        return
    inferred = _by_onnx(node, schema, known, imports, names)
    for name in filter(None, node.output):
        known.types[name] = _static(node, name, inferred.get(name), known)


def _unreadable(node: NodeProto, name: str, known: Known) -> HarnessError:
    where = f"{known.where}: {node_label(node)}"
    if name in known.sequences:
        return UnsupportedModel(
            f"{where}: it reads the sequence {name!r}",
            "Only sequences that can be resolved into tensors before they run are supported.",
            operator=node.op_type,
        )
    return HarnessError(f"{where} reads {name!r}, which nothing makes")


def _by_onnx(
    node: NodeProto, schema: Any, known: Known, imports: Sequence[onnx.OperatorSetIdProto], names: list[str]
) -> dict[str, TypeProto]:
    values = {name: known.bound[name] if name in known.bound else known.constants.get(name) for name in names}
    data = {
        name: numpy_helper.from_array(numpy.asarray(array), name)
        for name, array in values.items()
        if array is not None and array.size <= _SMALL and name not in known.changing
    }
    types = {name: known.type_proto(name) for name in names}
    try:
        return dict(infer_node_outputs(schema, node, types, data, opset_imports=list(imports)))
    except onnx.shape_inference.InferenceError as error:
        raise HarnessError(
            f"{known.where}: {node_label(node)}: wrong shapes: {' '.join(str(error).split())[:300]}",
            "Inputs: "
            + ", ".join(f"{name} {known.types[name].dtype}{list(known.types[name].shape)}" for name in names),
        ) from None


def _static(node: NodeProto, name: str, kind: TypeProto | None, known: Known) -> Tensor:
    """A type as a Tensor. Where ONNX's inference leaves something open, the given inputs, if any, say the rest."""
    if kind is not None and kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
        dims = kind.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            return Tensor(name, elements.name_of(kind.tensor_type.elem_type), tuple(dim.dim_value for dim in dims))
        what = f"the shape of {name!r} depends on data"
    else:
        what = f"the type or rank of {name!r} is not known before it runs"
    array = known.value(name)
    if array is None:
        raise UnsupportedModel(
            f"{known.where}: {node_label(node)}: {what}", "Only static models can be compared.", operator=node.op_type
        )
    return elements.type_of(name, array)


def _as_first_input(node: NodeProto, known: Known) -> Tensor:
    first = known.types[node.input[0]]
    return Tensor(node.output[0], first.dtype, first.shape)


def _stft(node: NodeProto, known: Known) -> Tensor | None:
    """ONNX STFT-17: (batch, frames, bins, 2). Its inference takes the default of `onesided`, 1, for 0."""
    signal = known.types[node.input[0]]
    window = node.input[2] if len(node.input) > 2 else ""
    step = known.value(node.input[1])
    length = known.value(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if step is None or (length is None and not window):
        return None
    size = int(length.reshape(())) if length is not None else known.types[window].shape[0]
    onesided = next((attribute.i for attribute in node.attribute if attribute.name == "onesided"), 1)
    frames = (signal.shape[1] - size) // int(step.reshape(())) + 1
    return Tensor(node.output[0], signal.dtype, (signal.shape[0], frames, size // 2 + 1 if onesided else size, 2))


def _max_unpool(node: NodeProto, known: Known) -> Tensor | None:
    """ONNX's inference does not look at the value of `output_shape`."""
    shape = known.value(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    return None if shape is None else Tensor(node.output[0], known.types[node.input[0]].dtype, tuple(shape.tolist()))


def _range(node: NodeProto, known: Known) -> Tensor | None:
    """ONNX Range-11: max(ceil((limit - start) / delta), 0) elements; its inference knows some types only."""
    values = [known.value(name) for name in node.input]
    numbers = [array.reshape(()).item() for array in values if array is not None]
    if len(numbers) < 3:
        return None
    start, limit, delta = numbers
    count = max(math.ceil((limit - start) / delta), 0)
    return Tensor(node.output[0], known.types[node.input[0]].dtype, (count,))


#: Per operator of one output, what its type is; None leaves it to ONNX's inference.
_RULES: dict[str, Callable[[NodeProto, Known], Tensor | None]] = {
    "GroupNormalization": _as_first_input,
    "MeanVarianceNormalization": _as_first_input,
    "STFT": _stft,
    "MaxUnpool": _max_unpool,
    "Range": _range,
}
