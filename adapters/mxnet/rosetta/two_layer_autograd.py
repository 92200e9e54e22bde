"""A two-layer net trained by automatic differentiation."""

import numpy
from mxnet import autograd, nd

data = numpy.load("data.npz")
x, y, w1, w2 = (nd.array(data[name]) for name in ("x", "y", "w1", "w2"))
w1.attach_grad()
w2.attach_grad()
losses = []
for _ in range(30):
    with autograd.record():
        loss = nd.mean((nd.dot(nd.relu(nd.dot(x, w1)), w2) - y) ** 2)
    loss.backward()
    losses.append(loss.asscalar())
    w1 -= 0.5 * w1.grad
    w2 -= 0.5 * w2.grad

numpy.savez("results.npz", losses=losses, w1=w1.asnumpy(), w2=w2.asnumpy())
