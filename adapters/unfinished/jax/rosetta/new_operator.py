"""The bent identity as an operator with a gradient of its own."""

import jax
import jax.numpy as jnp
import numpy
from jax.test_util import check_grads


@jax.custom_vjp
def bent(x):
    return (jnp.sqrt(x * x + 1) - 1) / 2 + x


def bent_fwd(x):
    return bent(x), x


def bent_bwd(x, grad_y):
    return (grad_y * (x / (2 * jnp.sqrt(x * x + 1)) + 1),)


bent.defvjp(bent_fwd, bent_bwd)

data = numpy.load("data.npz")
x, v = jnp.asarray(data["x"]), jnp.asarray(data["v"])
y, vjp = jax.vjp(bent, x)
(gradient,) = vjp(v)

check_grads(bent, (x,), order=1, modes=["rev"])
# check_grads compares, and keeps its finite differences to itself.
numeric = v * (bent(x + 1e-2) - bent(x - 1e-2)) / 2e-2

numpy.savez("results.npz", y=y, gradient=gradient, numeric=numeric)
