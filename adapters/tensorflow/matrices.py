"""Products of matrices, and determinants."""

from __future__ import annotations

import tensorflow as tf

from ..kit.arrays import element_count
from ..kit.interface import Unsupported
from .common import as_row, extents, in_float, is_float, widened
from .target import target


def MatMul(a, b):
    if len(a.shape) == 1 and len(b.shape) == 1:
        return tf.reduce_sum(a * b)
    if len(a.shape) == 1:
        return tf.squeeze(MatMul(tf.expand_dims(a, 0), b), -2)
    if len(b.shape) == 1:
        return tf.squeeze(MatMul(a, tf.expand_dims(b, 1)), -1)
    if len(a.shape) > 2 and len(b.shape) == 2:
        # workaround: TensorFlow multiplies a batch by one matrix in many products, and so does its gradient; over all
        # rows at once, as Keras does it, it is one.
        shape = extents(a)
        return tf.reshape(
            MatMul(tf.reshape(a, [element_count(shape[:-1]), shape[-1]]), b), shape[:-1] + extents(b)[-1:]
        )
    return product(a, b)


def product(a, b, **transposed):
    """tf.matmul of any element type."""
    if target().rounds(a.dtype):
        # workaround: TensorFlow's half kernels for CPUs round every sum; ONNX's reference rounds the result.
        return in_float(lambda a, b: widened(lambda a, b: tf.matmul(a, b, **transposed), a, b), a, b)
    return widened(lambda a, b: tf.matmul(a, b, **transposed), a, b)


def is_constant(x):
    """Whether Grappler computes at its leisure what is made of a tensor."""
    return tf.is_symbolic_tensor(x) and x.op.type == "Const"


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    # workaround: oneDNN, as TensorFlow calls it, is slower with a transposed matrix.
    if transB and is_constant(b):
        b, transB = tf.transpose(b), 0
    y = product(a, b, transpose_a=bool(transA), transpose_b=bool(transB))
    if alpha != 1:
        y = _scaled(y, alpha)
    if c is None:
        return y
    if beta != 1:
        c = _scaled(c, beta)
    c = as_row(c, y)
    return tf.nn.bias_add(y, c) if extents(c) == extents(y)[1:] else y + c


def _scaled(x, factor):
    if is_float(x):
        return factor * x
    if factor != int(factor):
        raise Unsupported("integers times {}".format(factor))
    return int(factor) * x


def Einsum(*tensors, equation):
    return tf.einsum(equation.replace(" ", ""), *tensors)


def Det(x):
    if target().compiled:
        raise Unsupported("XLA has no determinant")
    return tf.linalg.det(x)
