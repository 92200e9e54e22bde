"""One matrix product, [batch, 2048] x [2048, 2048]: what a device can compute at most, at a batch of 1,024 and more."""

from ._builder import Graph, he

TITLE = "one matrix product with a 2048 x 2048 matrix: how fast the device computes"

WIDTH = 2048


def build():
    g = Graph("gemm")
    x = g.input("x", ["batch", WIDTH])
    return g.inference(g.node("MatMul", x, g.weight("weight", (WIDTH, WIDTH), he(WIDTH)), name="product"), WIDTH)
