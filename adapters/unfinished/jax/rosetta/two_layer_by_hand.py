"""A two-layer net trained by gradients written out."""

import jax
import jax.numpy as jnp
import numpy


@jax.jit
def step(w1, w2, x, y):
    hidden = x @ w1
    active = jnp.maximum(hidden, 0)
    error = active @ w2 - y
    loss = jnp.mean(error**2)

    grad_out = 2 * error / error.size
    grad_w2 = active.T @ grad_out
    grad_w1 = x.T @ ((grad_out @ w2.T) * (hidden > 0))
    return w1 - 0.5 * grad_w1, w2 - 0.5 * grad_w2, loss


data = numpy.load("data.npz")
x, y, w1, w2 = (jnp.asarray(data[name]) for name in ("x", "y", "w1", "w2"))
losses = []
for _ in range(30):
    w1, w2, loss = step(w1, w2, x, y)
    losses.append(loss)

numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
