"""A convnet of jax.lax and jax.nn functions, trained on MNIST."""

import jax
import jax.numpy as jnp
import numpy
from jax import lax


def conv(x, layer):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, layer["w"], (1, 1), "SAME", dimension_numbers=dimensions) + layer["b"]


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def net(params, x):
    x = max_pool(jax.nn.relu(conv(x, params["conv1"])))
    x = max_pool(jax.nn.relu(conv(x, params["conv2"])))
    x = x.reshape(len(x), -1)
    return x @ params["dense"]["w"] + params["dense"]["b"]


def loss_fn(params, images, labels):
    log_probs = jax.nn.log_softmax(net(params, images))
    return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=1))


@jax.jit
def step(params, velocity, images, labels):
    grads = jax.grad(loss_fn)(params, images, labels)
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
    params = jax.tree.map(lambda p, v: p - 0.02 * v, params, velocity)
    return params, velocity


data = numpy.load("data.npz")
params = {
    name: {"w": jnp.asarray(data[name]), "b": jnp.zeros(data[name].shape[-1])} for name in ("conv1", "conv2", "dense")
}
velocity = jax.tree.map(jnp.zeros_like, params)
images, labels = (data[name].reshape(40, 100, *data[name].shape[1:]) for name in ("images", "labels"))
for batch, batch_labels in zip(images, labels):
    params, velocity = step(params, velocity, batch, batch_labels)

logits = jax.jit(net)(params, data["test_images"])
accuracy = jnp.mean(logits.argmax(1) == data["test_labels"])
numpy.savez("results.npz", logits=logits, accuracy=accuracy)
