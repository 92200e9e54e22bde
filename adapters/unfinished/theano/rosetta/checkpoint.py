"""Ten steps, a checkpoint, and ten more in a fresh process."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
checkpoint = Path("checkpoint.pkl")
resumed = checkpoint.exists()
if resumed:
    with checkpoint.open("rb") as file:
        params, velocities, losses = pickle.load(file)
else:
    params = [theano.shared(data[name], name) for name in ("w1", "w2")]
    velocities = [theano.shared(numpy.zeros_like(param.get_value())) for param in params]
    losses = []

w1, w2 = params
x, y = T.fmatrix("x"), T.fmatrix("y")
loss = T.mean((T.dot(T.nnet.relu(T.dot(x, w1)), w2) - y) ** 2)
updates = []
for param, velocity, grad in zip(params, velocities, T.grad(loss, params)):
    new_velocity = 0.9 * velocity + grad
    updates += [(velocity, new_velocity), (param, param - 0.1 * new_velocity)]
train = theano.function([x, y], loss, updates=updates)
for _ in range(10):
    losses.append(train(data["x"], data["y"]))

if resumed:
    numpy.savez("results.npz", losses=losses, w1=w1.get_value(), w2=w2.get_value())
else:
    with checkpoint.open("wb") as file:
        pickle.dump((params, velocities, losses), file, protocol=pickle.HIGHEST_PROTOCOL)
    subprocess.run([sys.executable, __file__], check=True)
