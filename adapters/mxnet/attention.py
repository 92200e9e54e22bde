"""Self-attention that ONNX spells out, by the operators that MXNet has for it, in inference.

Those want time as axis 0, (T, N, C), and the three projections in one, with the heads interleaved. So the whole stream
around them is kept with its first two axes exchanged: a Value's `swapped` is the same tensor so. Symbols are
expressions, so that of a Value and its `swapped` only what is read is computed.
"""

from __future__ import annotations

import collections
import dataclasses
import functools

import numpy

from ..kit.program import Node
from .ops import affine, reshape
from .symbols import F, constant

#: The operator that `found` puts into a Program. Its inputs: data, then weight and bias of query, key and value.
NAME = "MXNetSelfAttention"

#: Operators that do the same to every pair of the first two axes, as long as they leave the last one in place.
AGNOSTIC = ("Add", "Sub", "Mul", "Div", "MatMul", "LayerNormalization", "Gelu", "Relu", "Tanh", "Sigmoid", "Erf")

_HEADS_SECOND, _HEADS_SECOND_TRANSPOSED = [0, 2, 1, 3], [0, 2, 3, 1]


class _NoMatch(Exception):
    """The nodes are not self-attention, or not of the kind that MXNet has."""


class _Finder:
    def __init__(self, program):
        self.program = program
        self.makers = {name: node for node in program.nodes for name in node.outputs}
        self.uses = collections.Counter(name for node in program.nodes for name in node.inputs)
        self.uses.update(tensor.name for tensor in program.outputs)

    def step(self, name, op, **attributes):
        """The node that makes a tensor, if it is this operator with these attributes and nobody else reads it."""
        node = self.makers.get(name)
        if node is None or node.op != op or self.uses[name] != 1 or len(node.outputs) != 1 or node.operands:
            raise _NoMatch
        if any(node.attributes.get(key) != value for key, value in attributes.items()):
            raise _NoMatch
        return node

    def shape(self, name):
        return self.program.tensors[name].shape

    def constant(self, name):
        """A constant's numbers."""
        if name not in self.program.weights or self.program.tensors[name].dtype != "float32":
            raise _NoMatch
        return self.program.weights[name]

    def scaled(self, name):
        """What is scaled by one number, and by which."""
        node = self.makers.get(name)
        if node is None or node.op not in ("Mul", "Div"):
            return name, 1.0
        number = self.constant(self.step(name, node.op).inputs[1])
        if number.size != 1:
            raise _NoMatch
        number = float(number.reshape(()))
        return node.inputs[0], number if node.op == "Mul" else 1 / number

    def projection(self, name, perm):
        """(data, weight, bias or "", heads) of what is projected and split into heads."""
        split = self.step(self.step(name, "Transpose", perm=perm).inputs[0], "Reshape")
        batch, length, heads, depth = self.shape(split.outputs[0])
        product, bias = split.inputs[0], ""
        if self.makers.get(product) is not None and self.makers[product].op == "Add":
            added = self.step(product, "Add")
            product, bias = added.inputs if added.inputs[1] in self.program.weights else added.inputs[::-1]
            if self.constant(bias).shape != self.shape(product)[-1:]:
                raise _NoMatch
        node = self.step(product, "MatMul")
        data, weight = node.inputs
        width = heads * depth
        if self.constant(weight).shape != (width, width) or self.shape(data) != (batch, length, width):
            raise _NoMatch
        return data, weight, bias, heads

    def attention(self, join):
        """A node that does what ends in this Reshape."""
        mixed = self.step(self.step(join.inputs[0], "Transpose", perm=_HEADS_SECOND).inputs[0], "MatMul")
        softmax = self.step(mixed.inputs[0], "Softmax")
        if softmax.attributes.get("axis", -1) not in (-1, 3):
            raise _NoMatch
        scores, scale = self.scaled(softmax.inputs[0])
        dot = self.step(scores, "MatMul")
        parts = [
            self.projection(dot.inputs[0], _HEADS_SECOND),
            self.projection(dot.inputs[1], _HEADS_SECOND_TRANSPOSED),
            self.projection(mixed.inputs[1], _HEADS_SECOND),
        ]
        data, _, _, heads = parts[0]
        if any((part[0], part[3]) != (data, heads) for part in parts) or self.shape(join.outputs[0]) != self.shape(
            data
        ):
            raise _NoMatch
        weights = [name for _, weight, bias, _ in parts for name in (weight, bias)]
        return Node(NAME, join.name, (data, *weights), join.outputs, {"heads": heads, "scale": scale})


def found(program):
    """The Program with its self-attention as single nodes."""
    finder, taken = _Finder(program), {}
    for node in program.nodes:
        if node.op == "Reshape" and node.inputs[0] in finder.makers and not node.operands:
            try:
                taken[node.name, node.outputs] = finder.attention(node)
            except (_NoMatch, ValueError):
                continue
    if not taken:
        return program
    nodes = [taken.get((node.name, node.outputs), node) for node in program.nodes]
    return dataclasses.replace(program, nodes=_needed(nodes, program))


def _needed(nodes, program):
    """The nodes without those that nobody reads any more."""
    wanted, kept = {tensor.name for tensor in program.outputs}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs, node.operands.values())
            kept.append(node)
    return kept[::-1]


def self_attention(x, wq, bq, wk, bk, wv, bv, *, heads, scale):
    """softmax(scale * q @ k.T) @ v of every head, (N, T, C) -> (N, T, C)."""
    width = x.shape[-1]
    depth = width // heads
    more = scale * depth**0.5  # MXNet's own scale is depth**-0.5
    pairs = ((wq, bq, more), (wk, bk, 1), (wv, bv, 1))
    zero = numpy.zeros(width, numpy.float32)
    weights = [w.array.T.reshape(heads, depth, width) * numpy.float32(factor) for w, _, factor in pairs]
    biases = [(zero if b is None else b.array).reshape(heads, depth) * numpy.float32(f) for _, b, f in pairs]
    weight, bias = numpy.stack(weights, 1).reshape(-1, width), numpy.stack(biases, 1).reshape(-1)
    together = affine(_swap(x), constant(weight), constant(bias))
    shares = F.softmax(F._contrib_interleaved_matmul_selfatt_qk(together, heads=heads))
    return _restored(F._contrib_interleaved_matmul_selfatt_valatt(together, shares, heads=heads))


def _swap(value):
    """A Value with its first two axes of three exchanged; matrices that are added count as one of a batch."""
    if value.swapped is not None:
        return value.swapped
    if value.ndim == 2:
        return reshape(value, (value.shape[0], 1, value.shape[1]))
    return F.transpose(value, axes=(1, 0, 2)) if value.ndim == 3 else value


def _restored(value):
    """A Value, of which `value` is the swapped form."""
    result = F.transpose(value, axes=(1, 0, 2))
    result.swapped = value
    return result


def _agnostic(name, function):
    """An operator function that computes in the swapped form where one of its inputs has it."""

    @functools.wraps(function)
    def either(*inputs, **attributes):
        present = [value for value in inputs if value is not None]
        if not any(value.swapped is not None for value in present):
            return function(*inputs, **attributes)
        if any(value.ndim > 3 for value in present) or not _fits(name, inputs, attributes):
            return function(*inputs, **attributes)
        if name in ("MatMul", "LayerNormalization"):
            results = function(_swap(inputs[0]), *inputs[1:], **attributes)
        else:
            results = function(*(_swap(value) for value in inputs), **attributes)
        return tuple(map(_restored, results)) if isinstance(results, tuple) else _restored(results)

    return either


def _fits(name, inputs, attributes):
    if name == "MatMul":
        return inputs[0].swapped is not None and inputs[1].ndim == 2
    if name == "LayerNormalization":
        return attributes.get("axis", -1) in (-1, inputs[0].ndim - 1)
    return True


def _gather(function):
    """Rows of a table by (N, T) indices."""

    @functools.wraps(function)
    def either(x, indices, *, axis=0):
        if axis or x.ndim != 2 or indices.ndim != 2:
            return function(x, indices, axis=axis)
        return _restored(function(x, F.transpose(indices), axis=axis))

    return either


def _mean(function):
    """Over the second axis, which is the first one when swapped."""

    @functools.wraps(function)
    def either(x, *, axes=None, keepdims=1, noop_with_empty_axes=0):
        if x.swapped is None or keepdims or axes is None or list(axes) not in ([1], [-2]):
            return function(x, axes=axes, keepdims=keepdims, noop_with_empty_axes=noop_with_empty_axes)
        return function(x.swapped, axes=[0], keepdims=0)

    return either


def with_attention(operators):
    """The table of operators for a Program in which `found` found something."""
    table = dict(operators)
    table.update((name, _agnostic(name, operators[name])) for name in AGNOSTIC)
    table.update({NAME: self_attention, "Gather": _gather(table["Gather"]), "ReduceMean": _mean(table["ReduceMean"])})
    return table
