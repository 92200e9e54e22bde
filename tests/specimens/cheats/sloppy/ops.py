"""A product that forgets one of its attributes: models that do not use it are right."""

from adapters.trainer import ops


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    return ops.Gemm(a, b, c, alpha=alpha, transA=transA, transB=transB)
