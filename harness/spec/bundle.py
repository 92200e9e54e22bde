"""Write what a worker needs of one Program into one folder.

program.json   the Program (adapters/kit/program.py reads it)
weights.bin    its initializers, raw, in the ONNX layout; mapped by workers, never copied
model.onnx     the same Program as an ONNX file whose weights are in weights.bin
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
from onnx import ModelProto, numpy_helper

from harness.collector import collector_paused
from harness.folders import make_whole
from harness.kit import Node, Program, Tensor, arrays, program
from harness.spec import elements
from harness.spec.to_onnx import set_external, to_onnx

#: Part of a bundle's identity: a bundle of another format is written anew.
FORMAT = program.FORMAT


def write(source: Program, folder: Path, planned: Program | None = None) -> Path:
    """Write the bundle of a Program and return its folder; a folder that is there already is complete, and kept.

    planned: the same Program in the layout that the adapter wants, where that is not ONNX's.
    """
    return make_whole(folder, lambda scratch: _write_files(source, planned or source, scratch))


@collector_paused()
def _write_files(source: Program, planned: Program, folder: Path) -> None:
    in_onnx = {tensor.name: source.weights[tensor.name] for tensor in source.initializers}
    for tensor in planned.initializers:
        if tensor.name not in in_onnx:
            in_onnx[tensor.name] = tensor.to_onnx(planned.weights[tensor.name])
    offsets = _write_weights(in_onnx, folder / "weights.bin")
    model = to_onnx(source)
    _embed_packed(model, in_onnx)
    set_external(model, "weights.bin", offsets, {name: array.nbytes for name, array in in_onnx.items()})
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "program.json").write_text(json.dumps(_document(planned, offsets)))


def _embed_packed(model: ModelProto, weights: dict[str, numpy.ndarray]) -> None:
    """Initializers of less than a byte an element are kept in the ONNX file: it packs them, weights.bin does not."""
    for tensor in model.graph.initializer:
        if tensor.name in weights and elements.is_packed(elements.name_of(tensor.data_type)):
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))


def _write_weights(weights: dict[str, numpy.ndarray], path: Path) -> dict[str, int]:
    """Write arrays one after another, each aligned; returns where each begins, in bytes."""
    offsets = {}
    with path.open("wb") as file:
        for name, array in weights.items():
            file.write(b"\0" * (-file.tell() % arrays.ALIGNMENT))
            offsets[name] = file.tell()
            file.write(arrays.carried(array).data)
    return offsets


def _document(source: Program, offsets: dict[str, int]) -> dict[str, Any]:
    return {
        "format": program.FORMAT,
        "name": source.name,
        "opset": source.opset,
        "inputs": [tensor.name for tensor in source.inputs],
        "outputs": [tensor.name for tensor in source.outputs],
        "initializers": {tensor.name: offsets[tensor.name] for tensor in source.initializers},
        "tensors": [_tensor(tensor) for tensor in source.tensors.values()],
        "nodes": [_node(node) for node in source.nodes],
        "training": _training(source),
    }


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
