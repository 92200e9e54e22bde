"""What ONNX spells out and torch has one call for: a product with a bias, and dot-product attention.

Whoever writes such a model by hand in torch writes these calls; the numbers agree up to rounding. A pattern is
replaced only where nothing else reads what is inside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Set, Tuple

import torch
import torch.nn.functional as F

from ..kit.program import Node, Program
from .dtypes import to_tensor, torch_type


def FusedLinear(x, w, b):
    """MatMul of any number of leading axes with a matrix, then Add of a vector."""
    return F.linear(x, w.t(), b)


def FusedAttention(q, k, v, *, scale):
    """softmax(scale * q @ k) @ v, where k comes transposed, as MatMul wants it."""
    return F.scaled_dot_product_attention(q, k.transpose(-2, -1), v, scale=scale)


FUSED = {"FusedLinear": FusedLinear, "FusedAttention": FusedAttention}


def fuse(program: Program) -> Program:
    """The Program with those patterns replaced by the operators of `FUSED`."""
    search = _Search(program)
    replaced: Dict[str, Node] = {}
    gone: Set[str] = set()
    for node in program.nodes:
        found = search.linear(node) or search.attention(node)
        if found is not None:
            fused, inside = found
            replaced[node.outputs[0]] = fused
            gone.update(inside)
    nodes = [replaced.get(node.outputs[0], node) for node in program.nodes if node.outputs[0] not in gone]
    return replace(program, nodes=tuple(nodes))


Found = Optional[Tuple[Node, List[str]]]


class _Search:
    """Finds a pattern by its last node. Returns the node that replaces it and the names made inside it."""

    def __init__(self, program: Program):
        self.program = program
        self.maker = {name: node for node in program.nodes for name in node.outputs if name}
        self.uses: Dict[str, int] = {tensor.name: 1 for tensor in program.outputs}
        for node in program.nodes:
            for name in list(node.inputs) + list(node.operands.values()):
                self.uses[name] = self.uses.get(name, 0) + 1
        if program.training:
            for name in [program.training.loss] + list(program.training.updates.values()):
                self.uses[name] = self.uses.get(name, 0) + 1

    def linear(self, node: Node) -> Found:
        if node.op != "Add" or node.domain:
            return None
        for product, bias in (node.inputs, node.inputs[::-1]):
            made = self._inner(product, "MatMul")
            if made is None or not self._is_float(product) or self._rank(made.inputs[1]) != 2:
                continue
            columns = self.program.tensors[made.inputs[1]].shape[1:]
            if self._rank(made.inputs[0]) >= 2 and self.program.tensors[bias].shape == columns:
                return replace(node, op="FusedLinear", inputs=made.inputs + (bias,)), [product]
        return None

    def attention(self, node: Node) -> Found:
        if node.op != "MatMul" or node.domain or self._rank(node.outputs[0]) != 4:
            return None
        softmax = self._inner(node.inputs[0], "Softmax")
        if softmax is None or softmax.attributes.get("axis", -1) not in (-1, 3):
            return None
        scores, scale, inside = softmax.inputs[0], 1.0, [node.inputs[0], softmax.inputs[0]]
        scaled = self._inner(scores, "Mul") or self._inner(scores, "Div")
        if scaled is not None:
            factor = self._number(scaled.inputs[1])
            if factor is None:
                return None
            scores, scale = scaled.inputs[0], factor if scaled.op == "Mul" else 1.0 / factor
            inside.append(scores)
        dot = self._inner(scores, "MatMul")
        if dot is None or not self._is_float(scores):
            return None
        q, k, v = (self.program.tensors[name].shape for name in (dot.inputs + node.inputs[1:]))
        if not q[:2] == k[:2] == v[:2] or not len(q) == len(k) == len(v) == 4:
            return None
        fused = replace(
            node, op="FusedAttention", inputs=dot.inputs + node.inputs[1:], attributes={"scale": scale}, operands={}
        )
        return fused, inside

    def _inner(self, name: str, op: str) -> Optional[Node]:
        """The node of that operator that makes a tensor which is read once."""
        made = self.maker.get(name)
        matches = made is not None and made.op == op and not made.domain and self.uses[name] == 1
        return made if matches else None

    def _rank(self, name: str) -> int:
        return len(self.program.tensors[name].shape)

    def _is_float(self, name: str) -> bool:
        return "float" in self.program.tensors[name].dtype

    def _number(self, name: str) -> Optional[float]:
        """A constant of one element, that training does not change."""
        training = self.program.training
        if name not in self.program.weights or self.program.weights[name].size != 1:
            return None
        if training and (name in training.parameters or name in training.updates):
            return None
        dtype = torch_type(self.program.tensors[name].dtype)
        return to_tensor(self.program.weights[name], dtype, torch.device("cpu")).item()
