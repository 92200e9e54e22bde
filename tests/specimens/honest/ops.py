import numpy


def Gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return (product if c is None else product + beta * c).astype(a.dtype)


def Relu(x):
    return numpy.maximum(x, 0)


def Flatten(x, *, axis=1):
    return x.reshape(int(numpy.prod(x.shape[:axis])), -1)
