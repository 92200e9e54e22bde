"""What ONNX spells out and TensorFlow computes better in one piece: whoever writes such a model by hand writes it so.

A pattern is replaced only where nothing else reads what is inside it; the numbers agree up to rounding. What a pattern
wants of the world outside the graph stands in `Plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy
import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.program import Program
from .common import as_row, extents
from .matrices import product

ACTIVATIONS = {"Relu": tf.nn.relu, "Gelu": tf.nn.gelu}


def FusedLinear(x, w, b, *, activation=None):
    """Any number of leading axes times a matrix, plus a vector: as rows, whose bias and activation Grappler fuses."""
    shape = extents(x)
    y = tf.nn.bias_add(product(tf.reshape(x, [element_count(shape[:-1]), shape[-1]]), w), b)
    return tf.reshape(ACTIVATIONS[activation](y) if activation else y, shape[:-1] + extents(w)[-1:])


def FusedAttention(q, k, v, *, scale, key_perm=None):
    """softmax(scale * q @ k) @ v. key_perm: turns k, with its last two axes as q has them."""
    if key_perm is not None:
        k = tf.transpose(k, key_perm)
    scores = tf.matmul(q if scale == 1 else q * scale, k, transpose_b=key_perm is not None)
    return tf.matmul(tf.nn.softmax(scores), v)


def FusedFlatLinear(x, w, b=None):
    """A fully connected layer on a channels-last image. w: kept as `Flat` says."""
    y = product(tf.reshape(x, [extents(x)[0], element_count(extents(x)[1:])]), w)
    if b is None:
        return y
    b = as_row(b, y)
    return tf.nn.bias_add(y, b) if extents(b) == extents(y)[1:] else y + b


def FusedLookup(table, indices, *, perm=None):
    """Rows of a table, which may be a variable: then only these are read. No index is negative. perm: turns them."""
    return tf.gather(table, indices if perm is None else tf.transpose(indices, perm))


FUSED = {
    "FusedLinear": FusedLinear,
    "FusedAttention": FusedAttention,
    "FusedFlatLinear": FusedFlatLinear,
    "FusedLookup": FusedLookup,
}


@dataclass(frozen=True)
class Flat:
    """How the matrix of a layer on a flattened image is kept: [values of the image, outputs], channels last.

    In the Program its rows (or columns, if `transposed`) follow an image that was flattened channels-first.
    image: channels, then spatial extents.
    """

    image: tuple
    transposed: bool

    def kept(self, array):
        columns = array.T if self.transposed else array
        spatial = list(range(1, len(self.image)))
        turned = columns.reshape(*self.image, -1).transpose(*spatial, 0, len(self.image))
        return numpy.ascontiguousarray(turned.reshape(columns.shape))

    def given(self, array):
        last = len(self.image) - 1
        turned = array.reshape(*self.image[1:], self.image[0], -1).transpose(last, *range(last), last + 1)
        columns = turned.reshape(array.shape)
        return numpy.ascontiguousarray(columns.T if self.transposed else columns)


@dataclass
class Plan:
    """flat: {weight: how it is kept}. tables: weights that are only looked up in. counted: {input: extent of the axis
    that its indices count from the end where they are negative}."""

    program: Program
    flat: dict = field(default_factory=dict)
    tables: set = field(default_factory=set)
    counted: dict = field(default_factory=dict)


def fuse(program, types):
    """The plan for a Program, with those patterns replaced by the operators of `FUSED`. types: names of element types
    that are computed with as they are."""
    search = _Search(program, types)
    replaced, gone = {}, set()
    for node in program.nodes:
        found = search.of(node)
        if found is not None:
            fused, inside = found
            replaced[node.outputs[0]] = fused
            gone.update(inside)
    nodes = [replaced.get(node.outputs[0], node) for node in program.nodes if node.outputs[0] not in gone]
    search.plan.program = replace(program, nodes=tuple(nodes))
    return search.plan


class _Search:
    """Finds a pattern by its last node. Returns the node that replaces it and the names made inside it."""

    def __init__(self, program, types):
        self.program = program
        self.types = types
        self.plan = Plan(program)
        self.maker = {name: node for node in program.nodes for name in node.outputs if name}
        self.readers = {}
        for node in program.nodes:
            for name in (*node.inputs, *node.operands.values()):
                self.readers.setdefault(name, []).append(node)
        self.kept = {tensor.name for tensor in program.outputs}
        if program.training:
            self.kept.update([program.training.loss, *program.training.updates.values()])

    def of(self, node):
        search = getattr(self, "_of_" + node.op, None)
        return None if search is None or node.domain else search(node)

    def _of_Add(self, node):
        found = self._linear(node)
        return None if found is None or self._activation(node.outputs[0]) else found

    def _of_Relu(self, node):
        return self._activated(node)

    def _of_Gelu(self, node):
        return self._activated(node) if node.attributes.get("approximate", "none") == "none" else None

    def _activation(self, name):
        """Whether the only reader of a sum is an activation that takes it in."""
        readers = self.readers.get(name, [])
        if name in self.kept or len(readers) != 1 or readers[0].op not in ACTIVATIONS:
            return False
        return self.of(readers[0]) is not None

    def _activated(self, node):
        added = self._inner(node.inputs[0], "Add")
        found = None if added is None else self._linear(added)
        if found is None:
            return None
        fused, inside = found
        fused = replace(fused, name=node.name, outputs=node.outputs, attributes={"activation": node.op})
        return fused, [*inside, node.inputs[0]]

    def _linear(self, node):
        for made, bias in (node.inputs, node.inputs[::-1]):
            matmul = self._inner(made, "MatMul")
            if matmul is None or not self._is_plain(made):
                continue
            x, w = (self.program.tensors[name].shape for name in matmul.inputs)
            if len(x) >= 2 and len(w) == 2 and self.program.tensors[bias].shape == w[1:]:
                return replace(node, op="FusedLinear", inputs=(*matmul.inputs, bias)), [made]
        return None

    def _of_MatMul(self, node):
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
        if dot is None or not self._is_plain(scores):
            return None
        q, k, v = (self.program.tensors[name].shape for name in (*dot.inputs, node.inputs[1]))
        if not q[:2] == k[:2] == v[:2] or not len(q) == len(k) == len(v) == 4:
            return None
        attributes, key = {"scale": scale}, dot.inputs[1]
        turned = self._inner(key, "Transpose")
        if turned is not None:
            first, second, rows, columns = self._perm(turned)
            attributes["key_perm"] = [first, second, columns, rows]
            inside.append(key)
            key = turned.inputs[0]
        inputs = (dot.inputs[0], key, node.inputs[1])
        return replace(node, op="FusedAttention", inputs=inputs, attributes=attributes), inside

    def _of_Gemm(self, node):
        if node.attributes.get("transA", 0) or any(node.attributes.get(key, 1.0) != 1 for key in ("alpha", "beta")):
            return None
        flatten = self._inner(node.inputs[0], "Flatten") or self._inner(node.inputs[0], "Reshape")
        turned = None if flatten is None else self._inner(flatten.inputs[0], "Transpose")
        if turned is None or not self._is_plain(node.outputs[0]) or not self._is_own(node.inputs[1]):
            return None
        image, flat = (self.program.tensors[name].shape for name in (flatten.inputs[0], node.inputs[0]))
        if self._perm(turned) != [0, len(image) - 1, *range(1, len(image) - 1)]:
            return None
        if flat != (image[0], element_count(image[1:])):
            return None
        self.plan.flat[node.inputs[1]] = Flat(tuple(image[1:]), bool(node.attributes.get("transB", 0)))
        inputs = (turned.inputs[0], *node.inputs[1:])
        return replace(node, op="FusedFlatLinear", inputs=inputs, attributes={}), [node.inputs[0], flatten.inputs[0]]

    def _of_Transpose(self, node):
        """Rows of a table whose indices can be turned instead."""
        gather = self._inner(node.inputs[0], "Gather")
        found = None if gather is None else self._lookup(gather)
        perm = self._perm(node)
        if found is None or len(self.program.tensors[gather.inputs[0]].shape) != 2 or perm[-1] != len(perm) - 1:
            return None
        return replace(found, outputs=node.outputs, attributes={"perm": perm[:-1]}), [node.inputs[0]]

    def _of_Gather(self, node):
        found = self._lookup(node)
        return None if found is None else (found, [])

    def _lookup(self, node):
        table, indices = node.inputs
        shape = self.program.tensors[table].shape
        if node.attributes.get("axis", 0) != 0 or not self._is_own(table) or not self._is_plain(table):
            return None
        if indices not in {tensor.name for tensor in self.program.inputs} or self.readers[indices] != [node]:
            return None
        if indices in self.kept or not shape:
            return None
        self.plan.tables.add(table)
        self.plan.counted[indices] = shape[0]
        return replace(node, op="FusedLookup", attributes={})

    def _inner(self, name, op):
        """The node of that operator that makes a tensor which is read once, and no other."""
        made = self.maker.get(name)
        matches = made is not None and made.op == op and not made.domain and not made.operands
        return made if matches and name not in self.kept and len(self.readers[name]) == 1 else None

    def _perm(self, transpose):
        reverse = range(len(self.program.tensors[transpose.inputs[0]].shape))[::-1]
        return list(transpose.attributes.get("perm") or reverse)

    def _is_own(self, name):
        """Whether a weight is read by one node only, and not replaced by a training step."""
        training = self.program.training
        replaced = training is not None and name in training.updates
        return name in self.program.weights and len(self.readers[name]) == 1 and not replaced

    def _is_plain(self, name):
        """Whether it is of a type whose kernels are all there."""
        return self.program.tensors[name].dtype in self.types

    def _number(self, name):
        """A constant of one element, that training does not change."""
        training = self.program.training
        changed = training is not None and (name in training.parameters or name in training.updates)
        if name not in self.program.weights or self.program.weights[name].size != 1 or changed:
            return None
        number = numpy.asarray(self.program.weights[name]).reshape(())
        if self.program.tensors[name].dtype == "bfloat16":  # which comes as its bits
            return float(number.view(tf.bfloat16.as_numpy_dtype))
        return float(number)
