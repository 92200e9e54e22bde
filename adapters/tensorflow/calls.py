"""The Program as prepared calls, for eager mode: nothing is looked up or checked twice, dead tensors are let go."""

from __future__ import annotations

import functools

from ..kit.interface import Unsupported


class Calls:
    """Run a Program that `kit.lowering.lower` has accepted, node by node.

    kept: names of tensors that are wanted when all is done.
    """

    def __init__(self, program, operators, kept):
        last_use = {}
        for position, node in enumerate(program.nodes):
            for name in (*node.inputs, *node.operands.values(), *node.outputs):
                last_use[name] = position
        dead = [[] for _ in program.nodes]
        for name, position in last_use.items():
            if name and name not in kept:
                dead[position].append(name)
        self.steps = [
            (functools.partial(operators[node.op], **node.attributes), node, tuple(node.operands.items()), names)
            for node, names in zip(program.nodes, dead)
        ]

    def run(self, values):
        """Fill `values`, which holds inputs and initializers, and forget what no later node reads."""
        for function, node, operands, dead in self.steps:
            inputs = [values[name] if name else None for name in node.inputs]
            try:
                results = function(*inputs, **{key: values[name] for key, name in operands})
            except Unsupported as refusal:
                raise Unsupported(refusal.reason, refusal.operator or node.op, refusal.node or node.name) from None
            if not isinstance(results, tuple):
                results = (results,)
            values.update(zip(node.outputs, results))
            for name in dead:
                values.pop(name, None)
        return values
