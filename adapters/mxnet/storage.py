"""Weights kept in the form in which MXNet's fused operators want them.

FullyConnected wants a weight as (outputs, inputs), where MatMul and Gemm hold (inputs, outputs); MXNet's RNN operator
wants its gates in another order than ONNX. Such a weight is kept in MXNet's form, as a network written for MXNet
would hold it: optimizers work element by element, so training is the same, and no step pays for a conversion.
"""

from __future__ import annotations

import collections

import numpy

from ..kit.interface import Unsupported
from .symbols import F, constant

#: Blocks of ONNX's gates (LSTM: input, output, forget, cell; GRU: update, reset, hidden), in MXNet's order
#: (LSTM: input, forget, cell, output; GRU: reset, update, hidden).
GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}


class Form:
    """How one weight is kept: `to_mxnet` and `to_onnx` on numpy arrays, `restore` from MXNet's form on Values."""

    def shape(self, shape):
        """The shape of what `to_mxnet` makes of an array of this shape."""
        return shape

    def to_mxnet(self, array):
        raise NotImplementedError

    def to_onnx(self, array):
        raise NotImplementedError

    def restore(self, value):
        raise NotImplementedError


class Transposed(Form):
    def shape(self, shape):
        return shape[::-1]

    def to_mxnet(self, array):
        return numpy.ascontiguousarray(array.T)

    to_onnx = to_mxnet

    def restore(self, value):
        return F.transpose(value)


# workaround: with cuDNN, MXNet's BatchNorm keeps the unbiased variance, on a CPU the population's as ONNX does; kept
# n/(n-1) times as large the unbiased one is the same
class Scaled(Form):
    def __init__(self, factor):
        self.factor = factor

    def to_mxnet(self, array):
        return array * array.dtype.type(self.factor)

    def to_onnx(self, array):
        return array / array.dtype.type(self.factor)

    def restore(self, value):
        return F._npi_multiply_scalar(value, scalar=1 / self.factor)


class Gates(Form):
    """Blocks along axis 1 in another order. order: the block of ONNX's that stands at each place in MXNet's."""

    def __init__(self, order, blocks):
        self.order = [i for start in range(0, blocks, len(order)) for i in (start + o for o in order)]

    def to_mxnet(self, array):
        return numpy.ascontiguousarray(array[:, self._rows(array.shape[1], self.order)])

    def to_onnx(self, array):
        return numpy.ascontiguousarray(array[:, self._rows(array.shape[1], numpy.argsort(self.order))])

    def restore(self, value):
        return self._taken(value, numpy.argsort(self.order))

    def arrange(self, value):
        """`to_mxnet` on a Value."""
        if value.array is not None:
            return constant(self.to_mxnet(value.array))
        return self._taken(value, self.order)

    def _taken(self, value, order):
        return F.take(value, constant(self._rows(value.shape[1], order)), axis=1, mode="clip")

    def _rows(self, extent, order):
        return numpy.arange(extent).reshape(len(self.order), -1)[order].reshape(-1)


class Pack:
    """The trained weights of one recurrent layer in the one vector that MXNet's RNN operator wants.

    First the matrices, direction by direction, then the biases, all in the forms of `forms`. Packing them in every
    step would cost more than the layer itself. members: {initializer: its shape}, in the order of the node's inputs.
    """

    def __init__(self, members):
        self.shapes = members
        self.name = "packed:" + ",".join(members)
        (w, w_shape), (r, r_shape), (b, b_shape) = members.items()
        self._places = {w: [], r: [], b: []}
        self.size = 0
        for name, shape in [(w, w_shape), (r, r_shape)] * w_shape[0] + [(b, (1,) + b_shape)]:
            extent = int(numpy.prod(shape[1:]))
            self._places[name].append(slice(self.size, self.size + extent))
            self.size += extent

    def put(self, vector, name, array):
        """Write one member, in MXNet's form, into a vector (numpy's or MXNet's)."""
        places = self._places[name]
        for place, part in zip(places, numpy.reshape(array, (len(places), -1))):
            vector[place] = part

    def get(self, vector, name):
        """One member of a numpy vector, in MXNet's form."""
        return numpy.concatenate([vector[place] for place in self._places[name]]).reshape(self.shapes[name])

    def restore(self, value, name):
        """`get` on a Value."""
        parts = [F.slice_axis(value, axis=0, begin=p.start, end=p.stop) for p in self._places[name]]
        whole = parts[0] if len(parts) == 1 else F.Concat(*parts, dim=0, num_args=len(parts))
        return F.Reshape(whole, shape=self.shapes[name])


def packs(program):
    """{initializer: Pack} for the layers whose trained weights are best kept packed."""
    found, training = {}, program.training
    reads = collections.Counter(name for node in program.nodes for name in node.inputs)
    for node in program.nodes if training else ():
        names = node.inputs[1:4]
        if (
            _is_fused(node)
            and len(names) == 3
            and set(names) <= set(training.parameters)
            and all(reads[name] == 1 and program.tensors[name].dtype == "float32" for name in names)
        ):
            pack = Pack({name: program.tensors[name].shape for name in names})
            found.update((name, pack) for name in names)
    return found


def plan(program, unbiased):
    """{initializer: Form} for every weight of the Program that is better kept in another form.

    unbiased: running variances that cuDNN updates.
    """
    uses = {}
    for node in program.nodes:
        for position, name in enumerate(node.inputs):
            uses.setdefault(name, []).append((node, position))
        for name in node.operands.values():
            uses.setdefault(name, []).append((node, None))
    forms = {}
    for tensor in program.initializers:
        wanted = {_wish(program, tensor, node, position, unbiased) for node, position in uses.get(tensor.name, ())}
        if len(wanted) == 1 and None not in wanted:
            forms[tensor.name] = _form(*wanted.pop())
    return forms


def _wish(program, tensor, node, position, unbiased):
    """The form that one use of a weight wants, as arguments of `_form`, or None for ONNX's own."""
    floating = tensor.dtype.startswith("float")
    is_matrix = floating and len(tensor.shape) == 2 and position == 1
    if is_matrix and (node.op == "MatMul" or (node.op == "Gemm" and not node.attributes.get("transB", 0))):
        return ("transposed",)
    if position in (1, 2, 3) and _is_fused(node):
        return ("gates", node.op, position)
    if tensor.name in unbiased and position == 4:
        shape = program.tensors[node.inputs[0]].shape
        return ("unbiased", int(numpy.prod(shape)) // shape[1])
    return None


def _is_fused(node):
    """Whether ops_recurrent.py may use MXNet's own operator, as far as the node tells."""
    with_peepholes = len(node.inputs) > 7 and node.inputs[7]
    return (node.op == "LSTM" and not with_peepholes) or (
        node.op == "GRU" and node.attributes.get("linear_before_reset", 0)
    )


def _form(kind, *details):
    if kind == "transposed":
        return Transposed()
    if kind == "gates":
        operator, position = details
        order = GATES[operator]
        return Gates(order, len(order) * (2 if position == 3 else 1))
    (count,) = details
    if count < 2:
        raise Unsupported("cuDNN's running variance of one value is not defined", "BatchNormalization")
    return Scaled(count / (count - 1))
