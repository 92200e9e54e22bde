"""Twenty mistakes in JAX. Each function is one; the faulty line is marked."""

import os

import jax
import jax.numpy as jnp
import numpy
from jax import lax

CANNOT = {}


def _dense(inputs, outputs):
    weights = jax.random.normal(jax.random.key(0), (inputs, outputs)) / inputs**0.5
    return {"w": weights, "b": jnp.zeros(outputs)}


@jax.jit
def _net(params, x):
    return x @ params["w"] + params["b"]


def _descend(params, grads):
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def _cross_entropy(logits, labels):
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=1))


def wrong_input_shape():
    params = _dense(13, 7)
    yield
    _net(params, jnp.zeros((5, 17)))  # planted


def label_out_of_range():
    params = _dense(13, 11)
    yield
    _cross_entropy(_net(params, jnp.zeros((5, 13))), jnp.array([3, 1, 4, 23, 5]))  # planted


def float64_input():
    params = _dense(13, 7)
    x = numpy.random.default_rng(0).random((5, 13))
    yield
    got = _net(params, x)  # planted
    return got, _net(params, x.astype("float32"))


def missing_input():
    @jax.jit
    def net(left, right):
        return left + right

    yield
    net(jnp.zeros((5, 13)))  # planted


def mismatched_matmul():
    w1, w2 = jnp.zeros((13, 7)), jnp.zeros((11, 3))

    @jax.jit
    def net(x):
        return x @ w1 @ w2  # planted

    yield
    net(jnp.zeros((5, 13)))


def forgotten_parameter():
    params = {"front": _dense(13, 7), "back": _dense(7, 3)}

    def loss_fn(params, x, y):
        return jnp.mean((_net(params["back"], jax.nn.relu(_net(params["front"], x))) - y) ** 2)

    @jax.jit
    def step(params, x, y):
        grads = jax.grad(loss_fn)(params, x, y)
        return params | {"back": _descend(params["back"], grads["back"])}  # planted

    yield
    for _ in range(3):
        params = step(params, jnp.ones((5, 13)), jnp.ones((5, 3)))


def nan_loss():
    params = _dense(13, 7)

    def loss_fn(params, x):
        return jnp.mean(jnp.log(jax.nn.relu(_net(params, x)) * 0))  # planted

    @jax.jit
    def step(params, x):
        loss, grads = jax.value_and_grad(loss_fn)(params, x)
        return _descend(params, grads), loss

    yield
    for _ in range(3):
        params, _ = step(params, jnp.ones((5, 13)))


def wrong_layout():
    kernel = jnp.zeros((3, 3, 3, 8))

    @jax.jit
    def net(x):
        return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    yield
    net(jnp.zeros((1, 3, 19, 19)))  # planted


def out_of_memory():
    params = _dense(13, 7)
    yield
    _net(params, jnp.zeros((8000000000003, 13)))  # planted


def wrong_device():
    params = jax.device_put(_dense(13, 7), jax.devices("cuda")[63])  # planted
    yield
    _net(params, jnp.zeros((5, 13)))


def corrupt_checkpoint():
    jnp.savez("weights.npz", **_dense(130, 70))
    os.truncate("weights.npz", os.path.getsize("weights.npz") // 2)
    params = dict(jnp.load("weights.npz"))  # planted
    yield
    _net(params, jnp.zeros((5, 130)))


def other_checkpoint():
    jnp.savez("weights.npz", **_dense(13, 7))
    params = {"layer": _dense(13, 9)}
    params["layer"] = dict(jnp.load("weights.npz"))  # planted
    yield
    _net(params["layer"], jnp.zeros((5, 13)))


def misspelt_option():
    kernel = jnp.zeros((8, 3, 3, 3))

    @jax.jit
    def net(x):
        return lax.conv(x, kernel, strdie=(2, 2), padding="VALID")  # planted

    yield
    net(jnp.zeros((1, 3, 19, 19)))


def integer_input():
    params = _dense(13, 7)
    x = numpy.arange(65).reshape(5, 13)
    yield
    got = _net(params, x)  # planted
    return got, _net(params, x.astype("float32"))


def broadcast_target():
    params = _dense(13, 1)
    yield
    jnp.mean((_net(params, jnp.zeros((5, 13))) - jnp.zeros(5)) ** 2)  # planted


def index_out_of_range():
    table = jnp.zeros((29, 5))
    yield
    table[jnp.array([31])]  # planted


def detached_loss():
    params = _dense(13, 7)

    def loss_fn(params, x):
        _net(params, x)
        return jnp.mean(x**2)  # planted

    yield
    params = _descend(params, jax.grad(loss_fn)(params, jnp.ones((5, 13))))


def training_mode():
    params = {"front": _dense(13, 7), "back": _dense(7, 3)}

    def net(params, x, key, train):
        h = _net(params["front"], x)
        if train:
            h = jnp.where(jax.random.bernoulli(key, 0.5, h.shape), h / 0.5, 0)
        return _net(params["back"], h)

    yield
    net(params, jnp.ones((5, 13)), jax.random.key(1), train=True)  # planted


def double_softmax():
    params = _dense(13, 7)

    def net(params, x):
        return jax.nn.softmax(_net(params, x))

    def loss_fn(params, x, labels):
        return _cross_entropy(net(params, x), labels)  # planted

    yield
    params = _descend(params, jax.grad(loss_fn)(params, jnp.ones((5, 13)), jnp.array([3, 1, 4, 1, 5])))


def kernel_too_large():
    kernel = jnp.zeros((9, 9, 3, 8))

    @jax.jit
    def net(x):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )  # planted

    yield
    net(jnp.zeros((1, 5, 5, 3)))
