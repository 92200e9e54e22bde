"""A two-layer net on the GPU if there is one."""

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, workspace

workspace.GlobalInit(["caffe2"])
data = numpy.load("data.npz")
kind = workspace.GpuDeviceType if workspace.NumGpuDevices() else caffe2_pb2.CPU
model = model_helper.ModelHelper("two_layer")
with core.DeviceScope(core.DeviceOption(kind)):
    hidden = brew.fc(model, "x", "hidden", 100, 32, weight_init=("GivenTensorFill", {"values": data["w1"].T}))
    hidden = brew.relu(model, hidden, hidden)
    outputs = brew.fc(model, hidden, "outputs", 32, 10, weight_init=("GivenTensorFill", {"values": data["w2"].T}))
    workspace.FeedBlob("x", data["x"])
workspace.RunNetOnce(model.param_init_net)
workspace.RunNetOnce(model.net)

device = caffe2_pb2.DeviceTypeProto.Name(kind)
numpy.savez("results.npz", outputs=workspace.FetchBlob(outputs), device=device)
