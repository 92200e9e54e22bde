"""Write what a worker needs of one Program into one folder.

program.json   the Program (adapters/kit/program.py reads it)
weights.bin    its initializers, raw, in the ONNX layout; mapped by workers, never copied
model.onnx     the same Program as an ONNX file whose weights are in weights.bin

Programs that have the same initializers (of another layout, batch or purpose) share weights.bin on a shelf: a folder
that holds it and, for each of them, NAME.onnx and the folder NAME with its program.json. (Links would be simpler, but
what reads ONNX refuses external data that are links, symbolic or hard.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
from onnx import ModelProto, numpy_helper

from harness.collector import collector_paused
from harness.folders import make_whole, write_whole
from harness.kit import Node, Program, Tensor, arrays, program
from harness.spec import elements
from harness.spec.to_onnx import set_external, to_onnx

#: Part of a bundle's identity: a bundle of another format is written anew.
FORMAT = program.FORMAT

_PROGRAM, _WEIGHTS, _MODEL = "program.json", "weights.bin", "model.onnx"


def write(source: Program, folder: Path, planned: Program | None = None) -> Path:
    """Write the bundle of a Program and return its folder; a folder that is there already is complete, and kept.

    planned: the same Program in the layout that the adapter wants, where that is not ONNX's.
    """

    def fill(scratch: Path) -> None:
        _write_weights(source, scratch / _WEIGHTS)
        (scratch / _MODEL).write_bytes(_onnx_file(source))
        (scratch / _PROGRAM).write_text(_listing(source, planned or source, "", _MODEL))

    with collector_paused():
        return make_whole(folder, fill)


def write_on_shelf(source: Program, shelf: Path, name: str, planned: Program | None = None) -> Path:
    """The same, on a shelf whose Programs all have these initializers, of these values; returns the bundle's folder."""
    folder = shelf / name
    if folder.is_dir():
        return folder
    with collector_paused():
        make_whole(shelf, lambda scratch: _write_weights(source, scratch / _WEIGHTS))
        write_whole(shelf / f"{name}.onnx", _onnx_file(source))
        listing = _listing(source, planned or source, "..", f"{name}.onnx")
        return make_whole(folder, lambda scratch: (scratch / _PROGRAM).write_text(listing))


def _onnx_file(source: Program) -> bytes:
    model = to_onnx(source)
    _embed_packed(model, source.weights)
    lengths = {tensor.name: _carried_bytes(tensor) for tensor in source.initializers}
    set_external(model, _WEIGHTS, _offsets(source), lengths)
    return bytes(model.SerializeToString(deterministic=True))


def _embed_packed(model: ModelProto, weights: dict[str, numpy.ndarray]) -> None:
    """Initializers of less than a byte an element are kept in the ONNX file: it packs them, weights.bin does not."""
    for tensor in model.graph.initializer:
        if tensor.name in weights and elements.is_packed(elements.name_of(tensor.data_type)):
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))


def _offsets(source: Program) -> dict[str, int]:
    """Where each initializer begins in weights.bin, in bytes: one after another by name, each aligned."""
    offsets, end = {}, 0
    for tensor in sorted(source.initializers, key=lambda tensor: tensor.name):
        offsets[tensor.name] = end + -end % arrays.ALIGNMENT
        end = offsets[tensor.name] + _carried_bytes(tensor)
    return offsets


def _carried_bytes(tensor: Tensor) -> int:
    return arrays.element_count(tensor.shape) * arrays.carrier(tensor.dtype).itemsize


def _write_weights(source: Program, path: Path) -> None:
    with path.open("wb") as file:
        for name, offset in _offsets(source).items():
            file.write(b"\0" * (offset - file.tell()))
            file.write(arrays.carried(source.weights[name]).data)


def _listing(source: Program, planned: Program, files: str, onnx: str) -> str:
    """The text of program.json. files: the way from its folder to where weights.bin and the ONNX file lie."""
    offsets = _offsets(source)
    document = {
        "format": program.FORMAT,
        "files": files,
        "onnx": onnx,
        "name": planned.name,
        "opset": planned.opset,
        "inputs": [tensor.name for tensor in planned.inputs],
        "outputs": [tensor.name for tensor in planned.outputs],
        "initializers": {tensor.name: offsets[tensor.name] for tensor in planned.initializers},
        "tensors": [_tensor(tensor) for tensor in planned.tensors.values()],
        "nodes": [_node(node) for node in planned.nodes],
        "training": _training(planned),
    }
    return json.dumps(document)


def _tensor(tensor: Tensor) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
    if tensor.permutation is not None:
        entry["permutation"] = list(tensor.permutation)
    return entry


def _node(node: Node) -> dict[str, Any]:
    return {
        "op": node.op,
        "domain": node.domain,
        "name": node.name,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attributes": {key: _attribute(value) for key, value in node.attributes.items()},
        "operands": node.operands,
    }


def _attribute(value: Any) -> Any:
    if isinstance(value, numpy.ndarray):
        values = arrays.carried(value).reshape(-1).tolist()
        return {"dtype": arrays.name_of(value.dtype), "shape": list(value.shape), "values": values}
    return value


def _training(source: Program) -> dict[str, Any] | None:
    if source.training is None:
        return None
    optimizer = source.training.optimizer
    return {
        "loss": source.training.loss,
        "parameters": list(source.training.parameters),
        "updates": source.training.updates,
        "optimizer": {
            "op": optimizer.op,
            "learning_rate": optimizer.learning_rate,
            "attributes": optimizer.attributes,
            "step": optimizer.step,
        },
    }
