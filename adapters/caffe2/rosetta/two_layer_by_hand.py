"""A two-layer net, its gradients and updates written out as operators of one net."""

import numpy
from caffe2.python import core, workspace

workspace.GlobalInit(["caffe2"])
for name, array in numpy.load("data.npz").items():
    workspace.FeedBlob(name, array)
workspace.FeedBlob("one", numpy.ones(1, "float32"))
workspace.FeedBlob("step", numpy.array([-0.5], "float32"))

net = core.Net("two_layer")
hidden = net.Relu(net.MatMul(["x", "w1"]))
difference = net.Sub([net.MatMul([hidden, "w2"]), "y"])
loss = net.AveragedLoss(net.Sqr(difference), "loss")
d_output = net.Scale(difference, scale=2 / 640)
d_w2 = net.MatMul([hidden, d_output], trans_a=1)
d_hidden = net.ReluGradient([hidden, net.MatMul([d_output, "w2"], trans_b=1)])
d_w1 = net.MatMul(["x", d_hidden], trans_a=1)
net.WeightedSum(["w1", "one", d_w1, "step"], "w1")
net.WeightedSum(["w2", "one", d_w2, "step"], "w2")
workspace.CreateNet(net)

losses = []
for _ in range(30):
    workspace.RunNet(net)
    losses.append(workspace.FetchBlob(loss))

numpy.savez("results.npz", losses=losses, w1=workspace.FetchBlob("w1"), w2=workspace.FetchBlob("w2"))
