"""In which form a parameter is kept while it is trained, where Caffe2 would have to turn it in every step.

Optimizers work element by element, so they do not mind. Arrays are turned where they enter and leave the network.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy

from ..kit.program import Node, Program

#: Where LSTMUnit's gates (input, forget, output, cell) stand in ONNX's order (input, output, forget, cell).
LSTM_GATES = (0, 2, 1, 3)


class Form(NamedTuple):
    """shape: of the array as it is kept. kept: turns the Program's array into it. back: the inverse."""

    shape: Tuple[int, ...]
    kept: Callable[[numpy.ndarray], numpy.ndarray]
    back: Callable[[numpy.ndarray], numpy.ndarray]


def usual_lstm(node_attributes: Dict[str, Any], directions: int) -> bool:
    """Whether an LSTM is what LSTMUnit computes."""
    names = node_attributes.get("activations")
    usual = names is None or [name.lower() for name in names] == ["sigmoid", "tanh", "tanh"] * directions
    return usual and not node_attributes.get("input_forget")


def plan(program: Program) -> Dict[str, Form]:
    """The forms of those parameters that all their readers want in another form."""
    readers: Dict[str, List[Tuple[Node, int]]] = {}
    for node in program.nodes:
        for index, name in enumerate(node.inputs):
            readers.setdefault(name, []).append((node, index))
    forms = {}
    for name in program.training.parameters:
        shape, found = program.tensors[name].shape, readers.get(name, [])
        if len(shape) == 2 and found and all(_multiplies(program, node, index) for node, index in found):
            forms[name] = Form(shape[::-1], numpy.transpose, numpy.transpose)
        elif len(found) == 1 and shape[:1] == (1,) and _steers_gates(*found[0]):
            forms[name] = _gates(shape, 8 if found[0][1] == 3 else 4)
    return forms


def _multiplies(program: Program, node: Node, index: int) -> bool:
    """Whether a node is x @ W for at least a matrix x: Caffe2's FC wants W.T, as IDEEP does."""
    return node.op == "MatMul" and index == 1 and len(program.tensors[node.inputs[0]].shape) > 1


def _steers_gates(node: Node, index: int) -> bool:
    peepholes = len(node.inputs) > 7 and node.inputs[7]
    return node.op == "LSTM" and index in (1, 2, 3) and usual_lstm(node.attributes, 1) and not peepholes


def _gates(shape: Tuple[int, ...], blocks: int) -> Form:
    """[1, blocks*H, ...] as [blocks*H, ...] in LSTMUnit's order, which is its own inverse."""

    def turned(array: numpy.ndarray) -> numpy.ndarray:
        parts = numpy.split(array, blocks)
        return numpy.concatenate([parts[first + gate] for first in range(0, blocks, 4) for gate in LSTM_GATES])

    return Form(shape[1:], lambda array: turned(array[0]), lambda array: turned(array)[None])
