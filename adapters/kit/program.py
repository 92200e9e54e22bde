"""The Program: one static model, as the controller wrote it into a bundle.

Every tensor has a concrete shape and element type; operands that only steer (axes, shapes, pads, ...) are
attributes; operators have the meaning of ONNX operator set 21 or, where `opset` says so, a newer one
(what came after 21 only added to it).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import numpy

from .arrays import carrier, map_array

FORMAT = 2


@dataclass(frozen=True)
class Tensor:
    """A named tensor. dtype is numpy's name, or "bfloat16", "float8e4m3fn", "int4", ... where numpy has none.

    `permutation` is set where the Program keeps an input, output or initializer in another order of axes
    than the ONNX file: here = numpy.transpose(onnx, permutation). `shape` is the shape here.
    """

    name: str
    dtype: str
    shape: Tuple[int, ...]
    permutation: Optional[Tuple[int, ...]] = None

    def from_onnx(self, array: numpy.ndarray) -> numpy.ndarray:
        """An array in the ONNX file's order of axes, as this Program wants it."""
        if self.permutation is None:
            return array
        return numpy.ascontiguousarray(numpy.transpose(array, self.permutation))

    def to_onnx(self, array: numpy.ndarray) -> numpy.ndarray:
        """The inverse of `from_onnx`."""
        if self.permutation is None:
            return array
        return numpy.ascontiguousarray(numpy.transpose(array, numpy.argsort(self.permutation)))


@dataclass(frozen=True)
class Node:
    """One operator call.

    inputs: tensor names in ONNX's order, "" where an optional input is absent, none of those that became
    attributes. attributes: ONNX's, and constant steering operands under their ONNX input name; element
    types as names, tensors as numpy arrays. operands: steering operands that are not constant, {keyword:
    tensor name}. outputs: "" where an optional output is not wanted.
    """

    op: str
    name: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    attributes: Dict[str, Any] = field(default_factory=dict)
    operands: Dict[str, str] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True)
class Optimizer:
    """op: "Momentum", "Adam" or "Adagrad" of ai.onnx.preview.training 1, with all attributes filled in.

    learning_rate is that operator's R, step its T before the first step.
    """

    op: str
    learning_rate: float
    attributes: Dict[str, Any]
    step: int = 0


@dataclass(frozen=True)
class Training:
    """loss: the scalar tensor to minimise. parameters: the initializers that the optimizer changes.

    updates: {initializer: tensor that replaces it after each step}, such as running statistics.
    """

    loss: str
    parameters: Tuple[str, ...]
    optimizer: Optimizer
    updates: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """`nodes` are in an order in which they can be executed. `tensors` describes every name.

    weights: every initializer as a read-only array in this Program's layout. folder: where the files of the bundle lie
    that it was read from. onnx: the name of its ONNX file there.
    """

    name: str
    opset: int
    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    initializers: Tuple[Tensor, ...]
    nodes: Tuple[Node, ...]
    tensors: Dict[str, Tensor]
    training: Optional[Training]
    weights: Dict[str, numpy.ndarray]
    folder: str = ""
    onnx: str = "model.onnx"

    def onnx_path(self) -> str:
        """The same model as an ONNX file in the ONNX layout, for frameworks that read ONNX themselves."""
        return os.path.join(self.folder, self.onnx)


def _attribute(value: Any) -> Any:
    if isinstance(value, dict) and "values" in value:
        return numpy.array(value["values"], carrier(value["dtype"])).reshape(value["shape"])
    return value


def _tensor(entry: Dict[str, Any]) -> Tensor:
    permutation = entry.get("permutation")
    return Tensor(entry["name"], entry["dtype"], tuple(entry["shape"]), permutation and tuple(permutation))


def _node(entry: Dict[str, Any]) -> Node:
    return Node(
        op=entry["op"],
        name=entry["name"],
        inputs=tuple(entry["inputs"]),
        outputs=tuple(entry["outputs"]),
        attributes={key: _attribute(value) for key, value in entry["attributes"].items()},
        operands=entry["operands"],
        domain=entry["domain"],
    )


def _training(entry: Optional[Dict[str, Any]]) -> Optional[Training]:
    if entry is None:
        return None
    return Training(entry["loss"], tuple(entry["parameters"]), Optimizer(**entry["optimizer"]), entry["updates"])


def _weights(folder: str, tensors: Dict[str, Tensor], offsets: Dict[str, int]) -> Dict[str, numpy.ndarray]:
    path = os.path.join(folder, "weights.bin")
    arrays = {}
    for name, offset in offsets.items():
        tensor = tensors[name]
        stored = tensor.shape
        if tensor.permutation is not None:
            stored = tuple(tensor.shape[i] for i in numpy.argsort(tensor.permutation))
        arrays[name] = tensor.from_onnx(map_array(path, tensor.dtype, stored, offset))
    return arrays


def read_program(folder: str) -> Program:
    """Read a bundle. Raises ValueError if it was written for another version of the kit, or is damaged."""
    with open(os.path.join(folder, "program.json")) as file:
        document = json.load(file)
    if document["format"] != FORMAT:
        raise ValueError(f"{folder}: a bundle of format {document['format']}; this kit reads format {FORMAT}")
    tensors = {entry["name"]: _tensor(entry) for entry in document["tensors"]}
    offsets = document["initializers"]
    files = os.path.normpath(os.path.join(folder, document["files"]))
    return Program(
        name=document["name"],
        opset=document["opset"],
        inputs=tuple(tensors[name] for name in document["inputs"]),
        outputs=tuple(tensors[name] for name in document["outputs"]),
        initializers=tuple(tensors[name] for name in offsets),
        nodes=tuple(_node(entry) for entry in document["nodes"]),
        tensors=tensors,
        training=_training(document["training"]),
        weights=_weights(files, tensors, offsets),
        folder=files,
        onnx=document["onnx"],
    )
