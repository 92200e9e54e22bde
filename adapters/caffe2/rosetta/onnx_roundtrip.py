"""A net exported to ONNX and run again from the file."""

import numpy
import onnx
from caffe2.python import core, workspace
from caffe2.python.onnx import backend, frontend

workspace.GlobalInit(["caffe2"])
data = dict(numpy.load("data.npz"))
init_net = core.Net("init")
init_net.GivenTensorFill([], "w1", shape=data["w1"].shape, values=data["w1"])
init_net.GivenTensorFill([], "w2", shape=data["w2"].shape, values=data["w2"])
net = core.Net("two_layer")
outputs = net.MatMul([net.Relu(net.MatMul(["x", "w1"])), "w2"])
net.AddExternalOutput(outputs)
workspace.FeedBlob("x", data["x"])
workspace.RunNetOnce(init_net)
workspace.RunNetOnce(net)
before = workspace.FetchBlob(outputs)

value_info = {"x": (onnx.TensorProto.FLOAT, data["x"].shape)}
onnx.save(frontend.caffe2_net_to_onnx_model(net.Proto(), init_net.Proto(), value_info), "model.onnx")
(after,) = backend.prepare(onnx.load("model.onnx")).run(data["x"])
numpy.savez("results.npz", before=before, after=after)
