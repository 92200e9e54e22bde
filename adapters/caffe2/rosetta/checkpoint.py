"""Ten steps, a checkpoint in a minidb, and ten more in a fresh process."""

import subprocess
import sys

import numpy
from caffe2.python import core, model_helper, optimizer, workspace
from caffe2.python.modeling.initializers import Initializer

workspace.GlobalInit(["caffe2"])
data = numpy.load("data.npz")

model = model_helper.ModelHelper("two_layer")
w1, w2 = (
    model.create_param(name, data[name].shape, Initializer("GivenTensorFill", values=data[name]))
    for name in ("w1", "w2")
)
outputs = model.net.MatMul([model.net.Relu(model.net.MatMul(["x", w1])), w2])
loss = model.net.AveragedLoss(model.net.Sqr(model.net.Sub([outputs, "y"])), "loss")
model.AddGradientOperators([loss])
optimizer.build_sgd(model, base_learning_rate=0.1, momentum=0.9, nesterov=False)
workspace.RunNetOnce(model.param_init_net)
kept = workspace.Blobs()
workspace.FeedBlob("x", data["x"])
workspace.FeedBlob("y", data["y"])
workspace.CreateNet(model.net)

resumed = sys.argv[1:] == ["resume"]
losses = []
checkpoint = {"db": "checkpoint.minidb", "db_type": "minidb", "absolute_path": True}
if resumed:
    workspace.RunOperatorOnce(core.CreateOperator("Load", [], kept, **checkpoint))
    losses.extend(numpy.load("losses.npy"))

for _ in range(10):
    workspace.RunNet(model.net)
    losses.append(workspace.FetchBlob(loss))

if resumed:
    numpy.savez("results.npz", losses=losses, w1=workspace.FetchBlob(w1), w2=workspace.FetchBlob(w2))
else:
    workspace.RunOperatorOnce(core.CreateOperator("Save", kept, [], **checkpoint))
    numpy.save("losses.npy", losses)
    subprocess.run([sys.executable, __file__, "resume"], check=True)
