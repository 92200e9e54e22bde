"""A two-layer net trained by automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy


def loss_fn(params, x, y):
    outputs = jax.nn.relu(x @ params["w1"]) @ params["w2"]
    return jnp.mean((outputs - y) ** 2)


@jax.jit
def step(params, x, y):
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    return jax.tree.map(lambda p, g: p - 0.5 * g, params, grads), loss


data = numpy.load("data.npz")
x, y = jnp.asarray(data["x"]), jnp.asarray(data["y"])
params = {name: jnp.asarray(data[name]) for name in ("w1", "w2")}
losses = []
for _ in range(30):
    params, loss = step(params, x, y)
    losses.append(loss)

numpy.savez("results.npz", losses=losses, **params)
