"""A Python operator with its own gradient, checked by Caffe2's gradient checker."""

import numpy
from caffe2.python import core, gradient_checker, workspace


def bent_identity(inputs, outputs):
    x = inputs[0].data
    outputs[0].feed((numpy.sqrt(x * x + 1) - 1) / 2 + x)


def bent_identity_gradient(inputs, outputs):
    x, _, d_y = (blob.data for blob in inputs)
    outputs[0].feed(d_y * (x / (2 * numpy.sqrt(x * x + 1)) + 1))


workspace.GlobalInit(["caffe2"])
data = dict(numpy.load("data.npz"))
net = core.Net("bent_identity")
y = net.Python(bent_identity, bent_identity_gradient)("x", "y")
weighted = net.Mul([y, "v"])
gradient_checker.NetGradientChecker.Check(net, [weighted], data, "x", step_size=0.01)


# The checker compares, and keeps its finite differences to itself.
def weighted_at(x):
    workspace.FeedBlob("x", x)
    workspace.RunNetOnce(net)
    return workspace.FetchBlob(weighted)


step = numpy.float32(0.01)
numeric = (weighted_at(data["x"] + step) - weighted_at(data["x"] - step)) / (2 * step)
gradient = net.AddGradientOperators([weighted])["x"]
weighted_at(data["x"])
numpy.savez("results.npz", y=workspace.FetchBlob(y), gradient=workspace.FetchBlob(gradient), numeric=numeric)
