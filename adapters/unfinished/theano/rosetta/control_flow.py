"""Training through a loop whose length is data."""

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
w = theano.shared(data["w"], "w")
x, target, length = T.fvector("x"), T.fvector("target"), T.lscalar("length")
states, _ = theano.scan(lambda h, w: T.tanh(T.dot(h, w)), outputs_info=x, non_sequences=w, n_steps=length)
loss = T.mean((states[-1] - target) ** 2)
train = theano.function([x, target, length], loss, updates=[(w, w - 0.1 * T.grad(loss, w))])
losses = [train(*example) for example in zip(data["x"], data["target"], data["lengths"])]

numpy.savez("results.npz", losses=losses, w=w.get_value())
