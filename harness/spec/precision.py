"""A Program in a lower precision: its tensors are of that type, so that it means the same in every framework.

`fp32` and `tf32` leave a Program as it is: tf32 is how a device multiplies float32 (see `kit.interface.Options`).
`bf16` and `fp16` turn every float32 tensor inside into that type. Inputs and outputs stay float32 and are
converted at the edges, so that every precision is fed and judged alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy

from harness.errors import HarnessError
from harness.kit import Node, Program, Tensor

#: What float32 becomes.
_TYPES = {"bf16": "bfloat16", "fp16": "float16"}

_NUMPY_TYPES: dict[str, Any] = {"bf16": ml_dtypes.bfloat16, "fp16": numpy.float16}

#: Distance from 1 to the next number: 2**-(bits of mantissa). tf32 has 10 bits, as float16 has.
EPSILONS = {"fp32": 2.0**-23, "tf32": 2.0**-10, "bf16": 2.0**-7, "fp16": 2.0**-10}

PRECISIONS = list(EPSILONS)

#: Operators that make float32 whatever they are given.
_MAKES_FLOAT32 = {"DequantizeLinear"}


def in_precision(program: Program, precision: str) -> Program:
    """A Program in a precision of `PRECISIONS`. Raises HarnessError for training in less than float32: what a step in
    bf16 or fp16 is (which weights and statistics stay float32, how the loss is scaled) no ONNX file says."""
    kind = _TYPES.get(precision)
    if kind is None:
        return program
    if program.training is not None:
        raise HarnessError(
            f"training in {precision} is not defined: an ONNX file does not say what of a step stays float32",
            "Train in fp32 (or tf32 on a GPU); bf16 and fp16 infer.",
        )
    edges = {t.name for t in (*program.inputs, *program.outputs) if t.dtype == "float32"}
    tensors = {name: _turned(tensor, kind, edges) for name, tensor in program.tensors.items()}
    inner = {name: f"{name}.{precision}" for name in edges}
    tensors |= {new: replace(program.tensors[name], name=new, dtype=kind) for name, new in inner.items()}
    opening = [_cast(tensor.name, inner[tensor.name], kind) for tensor in program.inputs if tensor.name in edges]
    closing = [_cast(inner[tensor.name], tensor.name, "float32") for tensor in program.outputs if tensor.name in edges]
    nodes = [_node(node, inner, kind) for node in program.nodes]
    weights = {
        name: array.astype(_NUMPY_TYPES[precision]) if array.dtype == numpy.float32 else array
        for name, array in program.weights.items()
    }
    return replace(
        program,
        nodes=(*opening, *nodes, *closing),
        tensors=tensors,
        initializers=tuple(tensors[tensor.name] for tensor in program.initializers),
        weights=weights,
    )


def _turned(tensor: Tensor, kind: str, edges: set[str]) -> Tensor:
    return replace(tensor, dtype=kind) if tensor.dtype == "float32" and tensor.name not in edges else tensor


def _cast(source: str, result: str, kind: str) -> Node:
    return Node("Cast", f"to {result}", (source,), (result,), {"to": kind, "saturate": 1})


def _node(node: Node, inner: dict[str, str], kind: str) -> Node:
    attributes = {key: kind if value == "float32" else value for key, value in node.attributes.items()}
    if node.op in _MAKES_FLOAT32:
        raise HarnessError(f"node {node.name!r}: {node.op} makes float32; such a model has no other precision")
    return replace(
        node,
        inputs=tuple(inner.get(name, name) for name in node.inputs),
        outputs=tuple(inner.get(name, name) for name in node.outputs),
        operands={key: inner.get(name, name) for key, name in node.operands.items()},
        attributes=attributes,
    )
