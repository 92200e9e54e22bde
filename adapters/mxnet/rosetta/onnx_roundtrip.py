"""A net exported to ONNX and loaded back."""

import mxnet as mx
import numpy
from mxnet import init, nd
from mxnet.gluon import nn

data = numpy.load("data.npz")
x = nd.array(data["x"])
# The biases are zero: a layer without them is exported with a zero bias that the importer then does not find.
net = nn.HybridSequential()
net.add(
    nn.Dense(32, activation="relu", weight_initializer=init.Constant(data["w1"].T)),
    nn.Dense(10, weight_initializer=init.Constant(data["w2"].T)),
)
net.initialize()
net.hybridize()
before = net(x)

net.export("net")
mx.onnx.export_model("net-symbol.json", "net-0000.params", in_shapes=[x.shape], onnx_file_path="model.onnx")
loaded = mx.contrib.onnx.import_to_gluon("model.onnx", ctx=mx.cpu())

numpy.savez("results.npz", before=before.asnumpy(), after=loaded(x).asnumpy())
