"""Training through a recurrent operator, which takes as many steps as its input sequence is long."""

import numpy
from caffe2.python import model_helper, optimizer, recurrent, workspace
from caffe2.python.modeling.initializers import Initializer

workspace.GlobalInit(["caffe2"])
data = numpy.load("data.npz")

model = model_helper.ModelHelper("loop")
w = model.create_param("w", (8, 8), Initializer("GivenTensorFill", values=data["w"]))
cell = model_helper.ModelHelper("cell", param_model=model)
added, before = cell.net.AddExternalInput("added", "before")
after = cell.net.Tanh(cell.net.Add([cell.net.MatMul([before, w]), added]), "after")
cell.net.AddExternalOutput(after)
_, last = recurrent.recurrent_net(
    model.net, cell.net, [(added, "sequence")], [(before, "x")], {before: after}, outputs_with_grads=(1,)
)
loss = model.net.AveragedLoss(model.net.Sqr(model.net.Sub([last, "target"])), "loss")
model.AddGradientOperators([loss])
optimizer.build_sgd(model, base_learning_rate=0.1)
workspace.RunNetOnce(model.param_init_net)
workspace.CreateNet(model.net, input_blobs=["sequence", "x", "target"])

losses = []
for x, target, length in zip(data["x"], data["target"], data["lengths"]):
    workspace.FeedBlob("x", x.reshape(1, 1, 8))
    workspace.FeedBlob("target", target.reshape(1, 1, 8))
    workspace.FeedBlob("sequence", numpy.zeros((length, 1, 8), "float32"))
    workspace.RunNet(model.net)
    losses.append(workspace.FetchBlob(loss))

numpy.savez("results.npz", losses=losses, w=workspace.FetchBlob(w))
