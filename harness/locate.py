"""Where a wrong answer begins: the first tensor of the Program that leaves tolerance.

The Program is cut after its first k nodes, and the adapter runs that part by itself; bisecting k finds the node with
which the answer turns wrong. A part is lowered as any Program is, so what the adapter fuses or compiles is what it
would fuse or compile anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy

from harness import parity
from harness.kit import Node, Program, arrays
from harness.live import LiveCell
from harness.spec import bundle, layout, reference
from harness.spec.reference import Arrays, Reference

#: The number under which the worker knows a part of a Program: no cell has it.
_NETWORK = -1


@dataclass(frozen=True)
class Culprit:
    """error: of the tensor, relative to its largest right value. objection: the gate's own words."""

    tensor: str
    node: str
    error: float

    def __str__(self) -> str:
        return f"first wrong: {self.tensor!r}, made by {self.node}, off by {self.error:.2g} of its largest value"


def first_wrong(one: LiveCell, options: dict[str, Any]) -> Culprit | None:
    """The first tensor of a loaded cell's Program that is wrong; None where no part of it is wrong by itself.

    Raises WorkerFailed where the worker cannot run a part.
    """
    assert one.bundle is not None
    program = replace(one.bundle.program, training=None)
    if not program.nodes:
        return None
    inputs = one.workload.input_arrays()
    right = reference.evaluate(_with_outputs(program, _made(program.nodes)), inputs)
    low, high = 0, len(program.nodes)
    found = _objection(one, program, high, right, options)
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        earlier = _objection(one, program, middle, right, options)
        if earlier is None:
            low = middle
        else:
            high, found = middle, earlier
    return found


def prefix(program: Program, count: int) -> Program:
    """The first nodes of a Program as a Program; its outputs are what they make and nobody among them reads, or what
    the rest or the outside reads of it."""
    nodes = program.nodes[:count]
    later = {name for node in program.nodes[count:] for name in _reads(node)} | {t.name for t in program.outputs}
    read = {name for node in nodes for name in _reads(node)}
    cut = replace(program, nodes=nodes, training=None)
    needed = [tensor for tensor in program.initializers if tensor.name in read]
    cut = replace(
        cut, initializers=tuple(needed), weights={tensor.name: program.weights[tensor.name] for tensor in needed}
    )
    return _with_outputs(cut, [name for name in _made(nodes) if name in later or name not in read])


def _objection(
    one: LiveCell, program: Program, count: int, right: Reference, options: dict[str, Any]
) -> Culprit | None:
    """What is wrong with the first nodes of a Program; of several wrong tensors, the one that is made first."""
    part = prefix(program, count)
    outputs = _run(one, part, options)
    maker = {name: node for node in part.nodes for name in node.outputs}
    for tensor in part.outputs:
        finding = parity.Finding()
        one_right = Reference({tensor.name: right.outputs[tensor.name]}, {tensor.name: right.rounding[tensor.name]})
        parity.check_outputs(finding, outputs, one_right)
        if finding.reason:
            node = maker[tensor.name]
            return Culprit(tensor.name, f"{node.op} ({node.name})", finding.max_relative_error)
    return None


def _run(one: LiveCell, part: Program, options: dict[str, Any]) -> Arrays:
    """What the cell's adapter makes of a part."""
    folder = one.scratch / f"{one.network}-first-{len(part.nodes)}"
    bundle.write(part, folder, layout.planned(part, one.cell.layout))
    assert one.worker is not None
    one.worker.ask("load", one.timeout, network=_NETWORK, bundle=str(folder), device=one.cell.device, options=options)
    try:
        one.worker.ask(
            "infer", one.timeout, network=_NETWORK, inputs=str(one.workload.inputs()), outputs=str(folder / "outputs")
        )
    finally:
        if one.worker.alive():
            one.worker.ask("close", one.timeout, network=_NETWORK)
    return {name: numpy.asarray(array) for name, array in arrays.read_arrays(str(folder / "outputs")).items()}


def _with_outputs(program: Program, names: list[str]) -> Program:
    return replace(program, outputs=tuple(program.tensors[name] for name in names))


def _made(nodes: tuple[Node, ...]) -> list[str]:
    return [name for node in nodes for name in node.outputs if name]


def _reads(node: Node) -> list[str]:
    return [name for name in (*node.inputs, *node.operands.values()) if name]
