"""A two-layer net trained by the gradient operators that Caffe2 adds, and its SGD."""

import numpy
from caffe2.python import model_helper, optimizer, workspace
from caffe2.python.modeling.initializers import Initializer

workspace.GlobalInit(["caffe2"])
data = numpy.load("data.npz")
workspace.FeedBlob("x", data["x"])
workspace.FeedBlob("y", data["y"])

model = model_helper.ModelHelper("two_layer")
w1, w2 = (
    model.create_param(name, data[name].shape, Initializer("GivenTensorFill", values=data[name]))
    for name in ("w1", "w2")
)
outputs = model.net.MatMul([model.net.Relu(model.net.MatMul(["x", w1])), w2])
loss = model.net.AveragedLoss(model.net.Sqr(model.net.Sub([outputs, "y"])), "loss")
model.AddGradientOperators([loss])
optimizer.build_sgd(model, base_learning_rate=0.5)
workspace.RunNetOnce(model.param_init_net)
workspace.CreateNet(model.net)

losses = []
for _ in range(30):
    workspace.RunNet(model.net)
    losses.append(workspace.FetchBlob(loss))

numpy.savez("results.npz", losses=losses, w1=workspace.FetchBlob(w1), w2=workspace.FetchBlob(w2))
