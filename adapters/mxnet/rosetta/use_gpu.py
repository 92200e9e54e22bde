"""Inference on the GPU if there is one."""

import mxnet as mx
import numpy
from mxnet import init, nd
from mxnet.gluon import nn

data = numpy.load("data.npz")
context = mx.gpu() if mx.context.num_gpus() else mx.cpu()
net = nn.HybridSequential()
net.add(
    nn.Dense(32, activation="relu", use_bias=False, weight_initializer=init.Constant(data["w1"].T)),
    nn.Dense(10, use_bias=False, weight_initializer=init.Constant(data["w2"].T)),
)
net.initialize(ctx=context)
net.hybridize()
outputs = net(nd.array(data["x"], ctx=context))

numpy.savez("results.npz", outputs=outputs.asnumpy(), device=str(context))
