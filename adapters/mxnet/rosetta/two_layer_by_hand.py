"""A two-layer net with its gradients written out."""

import numpy
from mxnet import nd

data = numpy.load("data.npz")
x, y, w1, w2 = (nd.array(data[name]) for name in ("x", "y", "w1", "w2"))
losses = []
for _ in range(30):
    hidden = nd.relu(nd.dot(x, w1))
    difference = nd.dot(hidden, w2) - y
    losses.append(nd.mean(difference**2).asscalar())
    slope = 2 / difference.size * difference
    hidden_slope = nd.dot(slope, w2, transpose_b=True) * (hidden > 0)
    w1 -= 0.5 * nd.dot(x, hidden_slope, transpose_a=True)
    w2 -= 0.5 * nd.dot(hidden, slope, transpose_a=True)

numpy.savez("results.npz", losses=losses, w1=w1.asnumpy(), w2=w2.asnumpy())
