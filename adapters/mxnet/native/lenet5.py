"""LeNet-5 in Gluon."""

from __future__ import annotations

from mxnet.gluon import nn

from ._common import GluonNetwork, Kept


def load(program, device, options):
    body = nn.HybridSequential()
    body.add(
        nn.Conv2D(6, 5, padding=2, in_channels=1, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Conv2D(16, 5, in_channels=6, activation="relu"),
        nn.MaxPool2D(2, 2),
        nn.Flatten(),
        nn.Dense(120, in_units=400, activation="relu"),
        nn.Dense(84, in_units=120, activation="relu"),
        nn.Dense(10, in_units=84),
    )
    layers = {"conv1": body[0], "conv2": body[2], "fc1": body[5], "fc2": body[6], "classifier": body[7]}
    weights = {}
    for name, layer in layers.items():
        weights[name + ".weight"] = Kept(layer.weight)
        weights[name + ".bias"] = Kept(layer.bias)
    return GluonNetwork(program, device, options, body, weights)
