"""Ten steps, a checkpoint, and ten more in a fresh process."""

import subprocess
import sys

import numpy
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn

data = numpy.load("data.npz")
x, y = nd.array(data["x"]), nd.array(data["y"])
net = nn.HybridSequential()
net.add(
    nn.Dense(32, activation="relu", use_bias=False, weight_initializer=init.Constant(data["w1"].T)),
    nn.Dense(10, use_bias=False, weight_initializer=init.Constant(data["w2"].T)),
)
net.initialize()
loss_of = gluon.loss.L2Loss(weight=2)
trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})
resumed = sys.argv[1:] == ["resume"]
losses = []
if resumed:
    net.load_parameters("net.params")
    trainer.load_states("trainer.states")
    losses.extend(numpy.load("losses.npy"))

for _ in range(10):
    with autograd.record():
        loss = loss_of(net(x), y)
    loss.backward()
    trainer.step(batch_size=len(x))
    losses.append(loss.mean().asscalar())

if resumed:
    w1, w2 = (layer.weight.data().asnumpy().T for layer in net)
    numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
else:
    net.save_parameters("net.params")
    trainer.save_states("trainer.states")
    numpy.save("losses.npy", losses)
    subprocess.run([sys.executable, __file__, "resume"], check=True)
