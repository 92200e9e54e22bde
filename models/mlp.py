"""A multilayer perceptron: 784 -> 256 -> 128 -> 10, ReLU between. Trained by Momentum."""

from ._builder import Graph, momentum

TITLE = "multilayer perceptron, 784-256-128-10"


def build():
    g = Graph("mlp")
    x = g.input("image", ["batch", 784])
    x = g.relu(g.linear(x, "hidden1", 784, 256))
    x = g.relu(g.linear(x, "hidden2", 256, 128))
    return g.model(g.classifier(x, 128, 10), 10, momentum(0.01))
