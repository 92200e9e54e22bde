"""ONNX's operators with numpy."""

import numpy

from adapters.kit.interface import Unsupported


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    product = numpy.float32(alpha) * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + numpy.float32(beta) * c


def Relu(x):
    return numpy.maximum(x, 0)


def SoftmaxCrossEntropyLoss(scores, labels, *, reduction="mean"):
    if reduction != "mean" or scores.ndim != 2:
        raise Unsupported("only the mean over a batch of scores")
    shifted = scores - scores.max(axis=1, keepdims=True)
    chances = numpy.exp(shifted) / numpy.exp(shifted).sum(axis=1, keepdims=True)
    return -numpy.log(chances[numpy.arange(len(labels)), labels]).mean(dtype=numpy.float32)
