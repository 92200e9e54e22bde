"""Ten steps, a checkpoint, and ten more in a fresh process."""

import subprocess
import sys
from pathlib import Path

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
checkpoint = Path("checkpoint.npz")
resumed = checkpoint.exists()
names = ("w1", "w2")
if resumed:
    saved = numpy.load(checkpoint)
    params = [theano.shared(saved[name], name) for name in names]
    velocities = [theano.shared(saved[name + "_velocity"]) for name in names]
    losses = list(saved["losses"])
else:
    params = [theano.shared(data[name], name) for name in names]
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
    state = {param.name: param.get_value() for param in params}
    state.update((name + "_velocity", velocity.get_value()) for name, velocity in zip(names, velocities))
    numpy.savez(checkpoint, losses=losses, **state)
    subprocess.run([sys.executable, __file__], check=True)
