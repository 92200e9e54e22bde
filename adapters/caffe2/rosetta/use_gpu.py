"""Inference on the GPU where there is one."""

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

workspace.GlobalInit(["caffe2"])
kind = workspace.GpuDeviceType if workspace.NumGpuDevices() else caffe2_pb2.CPU
net = core.Net("two_layer")
with core.DeviceScope(core.DeviceOption(kind)):
    for name, array in numpy.load("data.npz").items():
        workspace.FeedBlob(name, array)
    outputs = net.MatMul([net.Relu(net.MatMul(["x", "w1"])), "w2"])

workspace.RunNetOnce(net)
device = caffe2_pb2.DeviceTypeProto.Name(kind)
numpy.savez("results.npz", outputs=workspace.FetchBlob(outputs), device=device)
