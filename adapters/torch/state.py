"""What training changes, and how torch keeps it.

Two of ONNX's conventions cost a pass over the data if they are followed literally at every step, and nothing if
the state is kept as torch's kernels want it and converted when it is read or set:

- torch's running variance is unbiased, ONNX's is of the population: it is kept times n/(n-1).
- torch's fused LSTM, GRU and RNN want one array a direction, and their own order of gates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Sequence, Tuple

import numpy
import torch
import torch.nn.functional as F

from ..kit.program import Node, Program
from . import recurrent


class Whole:
    """One tensor, as it is."""

    def split(self, array: numpy.ndarray) -> List[numpy.ndarray]:
        return [array]

    def join(self, leaves: Sequence[numpy.ndarray]) -> numpy.ndarray:
        return leaves[0]


class Scaled(Whole):
    """One tensor, times a factor."""

    def __init__(self, factor: float):
        self.factor = factor

    def split(self, array):
        return [(array.astype(numpy.float64) * self.factor).astype(array.dtype)]

    def join(self, leaves):
        return (leaves[0].astype(numpy.float64) / self.factor).astype(leaves[0].dtype)


class Gates(Whole):
    """The leaves of `recurrent.split_gates`."""

    def __init__(self, op: str, shape: Tuple[int, ...]):
        self.op, self.shape = op, shape

    def split(self, array):
        return list(recurrent.split_gates(self.op, array))

    def join(self, leaves):
        order, parts = numpy.argsort(recurrent.GATES[self.op]), []
        for leaf in leaves:
            gates = leaf.reshape((len(order), -1) + leaf.shape[1:])
            parts.append(gates[order].reshape(leaf.shape))
        return numpy.stack(parts).reshape(self.shape)


def plan(program: Program) -> Tuple[Program, Dict[str, str], Dict[str, Whole]]:
    """How to keep the state of a training program.

    Returns the Program with `RunningBatchNormalization` in place of BatchNormalization where torch can update the
    running statistics itself; the updates that remain to be made; and, for what training changes, how it is kept.
    """
    users: Dict[str, List[Node]] = {}
    for node in program.nodes:
        for name in list(node.inputs) + list(node.operands.values()):
            users.setdefault(name, []).append(node)
    updates = dict(program.training.updates)
    kept = {name: Whole() for name in list(program.training.parameters) + list(updates)}
    nodes = []
    for node in program.nodes:
        if node.op == "BatchNormalization" and _updates_itself(node, program, users):
            count = _samples(program.tensors[node.inputs[0]].shape)
            # workaround: torch's BatchNorm keeps the unbiased variance as its running statistic; ONNX the population's.
            kept[node.inputs[4]] = Scaled(count / (count - 1))
            del updates[node.inputs[3]], updates[node.inputs[4]]
            node = replace(node, op="RunningBatchNormalization", outputs=node.outputs[:1])
        elif node.op in recurrent.GATES and not node.domain:
            for name in _own_weights(node, program, users):
                kept[name] = Gates(node.op, program.tensors[name].shape)
        nodes.append(node)
    return replace(program, nodes=tuple(nodes)), updates, kept


def RunningBatchNormalization(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=1):
    """BatchNormalization in training; mean and var change in place, var being kept as `plan` says."""
    return F.batch_norm(x, mean, var, scale, b, True, 1 - momentum, epsilon)


def changes_state(node: torch.fx.Node) -> bool:
    """Is this fx node a call that changes running statistics?"""
    return node.target is F.batch_norm and node.kwargs.get("training") is True


def _samples(shape: Sequence[int]) -> int:
    """How many values a channel's batch statistics are of."""
    return shape[0] * int(numpy.prod(shape[2:], dtype=numpy.int64))


def _updates_itself(node: Node, program: Program, users: Dict[str, List[Node]]) -> bool:
    """Are its new running statistics the training's updates of the old ones, and of use to nothing else?"""
    if not node.attributes.get("training_mode") or len(node.outputs) < 3:
        return False
    pairs = list(zip(node.inputs[3:5], node.outputs[1:3]))
    updates = program.training.updates
    return _samples(program.tensors[node.inputs[0]].shape) > 1 and all(
        updates.get(old) == new and len(users[old]) == 1 and new not in users and list(updates.values()).count(new) == 1
        for old, new in pairs
    )


def _own_weights(node: Node, program: Program, users: Dict[str, List[Node]]) -> List[str]:
    """W, R and B of a fused recurrent node, where all of them are trained and nothing else uses them."""
    names = [name for name in node.inputs[1:4] if name]
    alone = all(name in program.training.parameters and len(users[name]) == 1 for name in names)
    return names if alone and recurrent.is_fused(node.op, [bool(n) for n in node.inputs], node.attributes) else []


def flatten_recurrent(program: Program, kept: Dict[str, Whole], leaves: Dict[str, List[torch.Tensor]]) -> None:
    """On a CUDA device: the leaves of each recurrent node into one block, as torch's own modules do."""
    if not torch._use_cudnn_rnn_flatten_weight():
        return
    for node in program.nodes:
        names = [name for name in node.inputs[1:4] if name]
        if node.op in recurrent.GATES and all(isinstance(kept.get(name), Gates) for name in names):
            recurrent.flatten_for_cudnn(node.op, *[leaves[name] for name in names])
