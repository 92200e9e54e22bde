"""A two-layer net trained by automatic differentiation."""

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
x, y, w1, w2 = (theano.shared(data[name], name) for name in ("x", "y", "w1", "w2"))
loss = T.mean((T.dot(T.nnet.relu(T.dot(x, w1)), w2) - y) ** 2)
params = [w1, w2]
updates = [(param, param - 0.5 * grad) for param, grad in zip(params, T.grad(loss, params))]
train = theano.function([], loss, updates=updates)
losses = [train() for _ in range(30)]

numpy.savez("results.npz", losses=losses, w1=w1.get_value(), w2=w2.get_value())
