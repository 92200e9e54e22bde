"""The layer that makes a NaN, named by the operator that Caffe2 stops at."""

import re

import numpy
from caffe2.python import core, workspace

workspace.GlobalInit(["caffe2", "--caffe2_operator_throw_if_fp_exceptions=1"])
data = numpy.load("data.npz")
workspace.FeedBlob("x", data["x"])
net = core.Net("blocks")
h = core.BlobReference("x")
for number in range(1, 5):
    workspace.FeedBlob(f"block{number}/w", data[f"w{number}"])
    with core.NameScope(f"block{number}"):
        h = net.Relu(net.MatMul([h, "w"]))
        h = net.Div([h, net.ReduceSum(h, axes=[1])])

try:
    workspace.RunNetOnce(net)
except RuntimeError as error:
    layer = re.search('output: "(.*?)/', str(error)).group(1)
numpy.savez("results.npz", layer=layer)
