"""The least bytes that a pass, or a training step, moves between memory and processor, from the Program alone.

A lower bound for a memory without a cache that outlives a node; where everything between two nodes fits into one,
less may reach the memory itself. Counted are, once each:

- reads of weights (of a table that is only looked into, the rows looked up) and of inputs, writes of outputs;
- a write and a read of every tensor between nodes that has to lie there whole. A tensor that goes to one reader which
  works element by element or row by row does not: it is merged into its maker. Where a batch is normalised it does,
  since its mean must be known first.

A training step adds

- reads of what is kept for the way back (`spec.backward`);
- a write and a read of the gradient of every tensor between nodes that is counted above, and of every parameter;
- a read and a write of every parameter and of the optimizer's state, as far as the optimizer changes them. The way back
  reads its weights on that occasion.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.kit import Optimizer, Program
from harness.spec.backward import Gradients, saved
from harness.spec.dataflow import WHOLE, Dataflow, tensor_bytes
from harness.spec.liveness import states


@dataclass(frozen=True)
class Traffic:
    """Bytes. weight_bytes: parameters, their gradients and the optimizer's state. edge_bytes: inputs and outputs.
    activation_bytes: what goes from node to node, there and back."""

    weight_bytes: int
    edge_bytes: int
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.edge_bytes + self.activation_bytes


def traffic(program: Program) -> Traffic:
    """What one pass of an inference Program moves, or one step of a training Program."""
    flow = Dataflow(program)
    whole = [memory for memory in flow.maker if _lies_whole(flow, memory)]
    edge = sum(tensor_bytes(program, tensor.name) for tensor in program.inputs)
    weights = sum(_read_of_weight(flow, tensor.name) for tensor in program.initializers)
    between = 2 * sum(map(flow.bytes, whole))
    if program.training is None:
        outputs = sum(flow.bytes(memory) for memory in flow.kept)
        return Traffic(weights, edge + outputs, between)
    gradients = Gradients(program)
    kept = saved(flow, gradients)
    between += kept.total_bytes(flow)
    between += 2 * sum(flow.bytes(memory) for memory in whole if gradients.wanted(memory))
    edge += sum(tensor_bytes(program, tensor.name) for tensor in program.inputs if tensor.name in kept.tensors)
    weights += sum(_update(flow, name, program.training.optimizer) for name in gradients.parameters)
    return Traffic(weights, edge, between)


def _lies_whole(flow: Dataflow, memory: str) -> bool:
    """Whether a tensor between nodes has to be written and read. (That an output is written is counted as such.)"""
    readers = flow.readers.get(memory, [])
    if memory in flow.attention or memory in flow.kept or not readers:
        return False
    reader = flow.program.nodes[readers[0]]
    normalised = reader.op == "BatchNormalization" and bool(reader.attributes.get("training_mode"))
    return len(readers) > 1 or reader.op in WHOLE or normalised


def _update(flow: Dataflow, name: str, optimizer: Optimizer) -> int:
    """What one parameter's update moves: its gradient, itself, and what the optimizer remembers of it.

    Of a table that is only looked into the gradient has the rows looked up; Adagrad leaves the other rows alone.
    """
    gradient = _read_of_weight(flow, name)
    alone = optimizer.op == "Adagrad" and not optimizer.attributes.get("norm_coefficient")
    changed = gradient if alone else flow.bytes(name)
    return 2 * gradient + 2 * (1 + states(optimizer)) * changed


def _read_of_weight(flow: Dataflow, name: str) -> int:
    """Bytes of an initializer that the forward pass reads."""
    readers = [flow.program.nodes[number] for number in flow.readers.get(name, [])]
    looked_up = [node for node in readers if node.op == "Gather" and flow.memory(node.inputs[0]) == name]
    if readers and len(looked_up) == len(readers):
        return min(flow.bytes(name), sum(flow.bytes(node.outputs[0]) for node in looked_up))
    return flow.bytes(name) if readers else 0
