"""A two-layer net with its gradients written out."""

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
x, y, w1, w2 = (theano.shared(data[name], name) for name in ("x", "y", "w1", "w2"))
hidden = T.dot(x, w1)
active = T.nnet.relu(hidden)
error = T.dot(active, w2) - y
loss = T.mean(error**2)

slope = 2 * error / T.cast(error.size, "float32")
grad_w2 = T.dot(active.T, slope)
grad_w1 = T.dot(x.T, T.dot(slope, w2.T) * (hidden > 0))
train = theano.function([], loss, updates=[(w1, w1 - 0.5 * grad_w1), (w2, w2 - 0.5 * grad_w2)])
losses = [train() for _ in range(30)]

numpy.savez("results.npz", losses=losses, w1=w1.get_value(), w2=w2.get_value())
