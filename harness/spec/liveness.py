"""The memory floor of a Program: the least bytes that have to exist at one moment, from the Program alone.

It is a lower bound for every implementation that runs the Program's nodes in its order, each on the whole batch, and
computes nothing twice; one that splits the batch, or computes parts of the forward pass again when it goes back, may
need less. What takes memory at all is told in `dataflow`, what the backward pass needs in `backward`.

Time has one step per node, and in training one more per node for the way back. A tensor lives from the step that makes
it to its last reader, or to the backward step of the first node that needs it there. At each step count

- forward: what lives. An operator that can work in place writes over those of its operands that end with it, so of
  what it writes and what ends only the larger part counts.
- backward, at a product, a window or a look-up: what still lives, the gradient of the results, and first the gradients
  of the parameters; then, once what only this node needed is gone, those of the operands instead. Gradients of
  parameters go to the optimizer at once, so those of two nodes need not exist together.

The floor is the largest of these, and, all the time, weights, inputs and the optimizer's state: of each parameter its V
(Momentum, unless alpha is 0), V and H (Adam), or H (Adagrad).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from harness.kit import Node, Optimizer, Program
from harness.spec.backward import Gradients, Saved, saved
from harness.spec.dataflow import PARTS, WHOLE, Dataflow, operands, tensor_bytes

_STATES = {"Momentum": 1, "Adam": 2, "Adagrad": 1}


@dataclass(frozen=True)
class Floor:
    """Bytes. total_bytes: what must exist at one moment, `at` (the step and its node, for people).

    The parts are each at its own largest, so their sum may be more than the total: gradients come as activations go.

    weight_bytes: every initializer. input_bytes: every input. activation_bytes: of what nodes make, and in training of
    what is kept for the way back. gradient_bytes: one gradient of every parameter (in the total only those of one node
    count). optimizer_bytes: its state.
    """

    total_bytes: int
    weight_bytes: int
    input_bytes: int
    activation_bytes: int
    gradient_bytes: int = 0
    optimizer_bytes: int = 0
    at: str = ""


def floor(program: Program) -> Floor:
    """The memory floor of one pass of an inference Program, or of one step of a training Program, in ONNX's layout."""
    flow, gradients = Dataflow(program), Gradients(program)
    kept = saved(flow, gradients) if program.training else Saved({}, [])
    alive = _alive(flow, kept)
    forward = [alive[step] - _overwritten(flow, kept, step) for step in range(len(program.nodes))]
    backward = _backward(flow, gradients, kept, alive) if program.training else []
    moments = [*forward, *backward]
    weights = sum(tensor_bytes(program, tensor.name) for tensor in program.initializers)
    fed = sum(tensor_bytes(program, tensor.name) for tensor in program.inputs)
    trained = sum(tensor_bytes(program, name) for name in gradients.parameters)
    state = states(program.training.optimizer) * trained if program.training else 0
    highest = max(range(len(moments)), key=moments.__getitem__, default=None)
    return Floor(
        total_bytes=weights + fed + state + (0 if highest is None else moments[highest]),
        weight_bytes=weights,
        input_bytes=fed,
        activation_bytes=max([*forward, *alive[len(forward) :]]),
        gradient_bytes=trained,
        optimizer_bytes=state,
        at="" if highest is None else _moment(program, highest),
    )


def states(optimizer: Optimizer) -> int:
    """How many numbers an optimizer remembers of each parameter."""
    return 0 if optimizer.op == "Momentum" and optimizer.attributes.get("alpha") == 0 else _STATES[optimizer.op]


def _moment(program: Program, step: int) -> str:
    count = len(program.nodes)
    node = program.nodes[step if step < count else 2 * count - 1 - step]
    direction = "" if step < count else "backward of "
    return f"{direction}{node.op} {node.name or node.outputs[0]}"


def _end(flow: Dataflow, kept: Saved, memory: str) -> int:
    """The last step at which a memory is needed."""
    count = len(flow.program.nodes)
    if memory in kept.tensors:
        return 2 * count - 1 - kept.tensors[memory]
    if memory in flow.kept:
        return count
    return flow.last_reader(memory)


def _size(flow: Dataflow, kept: Saved, memory: str) -> int:
    """Bytes that a memory must take: none where it streams, or where it is a part of one that lives on."""
    if memory not in kept.tensors and flow.streams(memory):
        return 0
    step = flow.maker[memory]
    node = flow.program.nodes[step]
    if node.op in PARTS:
        source = flow.memory(node.inputs[0])
        if source in flow.fixed or _end(flow, kept, source) > step:
            return 0
    return flow.bytes(memory)


def _alive(flow: Dataflow, kept: Saved) -> list[int]:
    """Bytes that live at each step, there and back, and one more step at which nothing is left."""
    count = len(flow.program.nodes)
    changes = [0] * (2 * count + 2)
    for memory, begin in flow.maker.items():
        size = _size(flow, kept, memory)
        changes[begin] += size
        changes[_end(flow, kept, memory) + 1] -= size
    for one in kept.aside:
        changes[one.since] += one.bytes
        changes[2 * count - one.node] -= one.bytes
    return list(accumulate(changes))[: 2 * count + 1]


def _overwritten(flow: Dataflow, kept: Saved, step: int) -> int:
    """Of what lives at a forward step, the bytes that can be the same memory: operands that end, and results."""
    node = flow.program.nodes[step]
    if node.op in WHOLE:
        return 0
    read = {flow.memory(name) for name in operands(node)} & flow.maker.keys()
    ending = sum(_size(flow, kept, memory) for memory in read if _end(flow, kept, memory) == step)
    written = sum(_size(flow, kept, name) for name in node.outputs if name in flow.maker)
    return min(ending, written)


def _backward(flow: Dataflow, gradients: Gradients, kept: Saved, alive: list[int]) -> list[int]:
    """Bytes at each step of the way back."""
    nodes = flow.program.nodes
    moments = alive[len(nodes) : 2 * len(nodes)]
    for place, node in enumerate(reversed(nodes)):
        if node.op in WHOLE and gradients.passes(node):
            step = len(nodes) + place
            own, passed = _gradient_bytes(flow, gradients, node)
            arriving = _sum(flow, gradients, node.outputs)
            moments[place] = max(alive[step] + arriving + own, alive[step + 1] + arriving + passed)
    return moments


def _gradient_bytes(flow: Dataflow, gradients: Gradients, node: Node) -> tuple[int, int]:
    """Gradients that one node makes: of parameters (a look-up's is the arriving one), and of what other nodes made."""
    looked_into = node.inputs[:1] if node.op == "Gather" else ()
    trained = gradients.parameters & {flow.memory(name) for name in node.inputs if name and name not in looked_into}
    return sum(map(flow.bytes, trained)), _sum(flow, gradients, node.inputs)


def _sum(flow: Dataflow, gradients: Gradients, names: tuple[str, ...]) -> int:
    """Bytes of the gradients of those tensors that nodes made and whose gradients cannot stream."""
    memories = {flow.memory(name) for name in names if name and gradients.wanted(name)} & flow.maker.keys()
    return sum(0 if flow.streams(memory) else flow.bytes(memory) for memory in memories)
