"""Every number negated, [batch, 2**20]: one read and one write of memory each, the least that a pass over it costs."""

from ._builder import Graph

TITLE = "4 MiB a sample negated: how fast the device's memory is"

WIDTH = 2**20


def build():
    g = Graph("stream")
    return g.inference(g.node("Neg", g.input("x", ["batch", WIDTH]), name="negated"), WIDTH)
