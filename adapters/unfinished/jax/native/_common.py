"""What the hand-written networks share: a jitted pass, and a jitted training step that takes its buffers over."""

from __future__ import annotations

import functools

import numpy

import jax
import jax.numpy as jnp

from ...kit.interface import Network, Unsupported
from .. import settings


class Model:
    """A network. Weights are called as in the Program; they may be kept in another shape or order of axes."""

    def to_own(self, arrays):
        """Weights as this network keeps them, from those of the Program."""
        return dict(arrays)

    def to_program(self, weights):
        """The inverse of `to_own`; for gradients too."""
        return dict(weights)

    def logits(self, w, x):
        """(batch, classes) in inference. w: weights by name."""
        raise NotImplementedError

    def loss(self, w, x, labels):
        """The mean cross-entropy of a training step, and {name: new value} of running statistics."""
        return cross_entropy(self.logits(w, x), labels), {}


def cross_entropy(logits, labels):
    rows = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(rows, labels[:, None], 1))


def dense(w, name, x):
    return x @ w[name + ".weight"] + w[name + ".bias"]


def convolved(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def max_pool(x, size, stride, padding="VALID"):
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)


# Updates of all parameters: (numbers, parameters, gradients, slots, steps made before) -> (parameters, slots)


def momentum(numbers, w, gradients, slots, made):
    """With L2 regularisation where the numbers have it."""
    rate, alpha, decay = numbers.learning_rate, numbers.attributes["alpha"], numbers.attributes["norm_coefficient"]
    fed = jax.tree.map(lambda g, x: g + decay * x if decay else g, gradients, w)
    velocity = jax.tree.map(lambda v, g: alpha * v + g, slots[0], fed)
    return jax.tree.map(lambda x, v: x - rate * v, w, velocity), [velocity]


def adagrad(numbers, w, gradients, slots, made):
    rate, epsilon = numbers.learning_rate, numbers.attributes["epsilon"]
    squares = jax.tree.map(lambda h, g: h + g * g, slots[0], gradients)
    return jax.tree.map(lambda x, g, h: x - rate * g / (jnp.sqrt(h) + epsilon), w, gradients, squares), [squares]


def adam(numbers, w, gradients, slots, made):
    """The bias correction is that of the steps made before, none in the first step, as ONNX has it."""
    alpha, beta, epsilon = (numbers.attributes[key] for key in ("alpha", "beta", "epsilon"))
    later = jnp.maximum(made, 1).astype(jnp.float64)
    rate = numbers.learning_rate * jnp.where(made > 0, jnp.sqrt(1 - beta**later) / (1 - alpha**later), 1)
    rate = rate.astype(jnp.float32)
    mean = jax.tree.map(lambda v, g: alpha * v + (1 - alpha) * g, slots[0], gradients)
    square = jax.tree.map(lambda h, g: beta * h + (1 - beta) * g * g, slots[1], gradients)
    return jax.tree.map(lambda x, v, h: x - rate * v / (jnp.sqrt(h) + epsilon), w, mean, square), [mean, square]


class NativeNetwork(Network):
    def __init__(self, program, device, options, model, update=None, slots=1):
        """update: one of the above; slots: how many arrays it keeps for each parameter."""
        settings.check(device, options, ("native",))
        if options.precision not in ("fp32", "tf32"):
            raise Unsupported("the hand-written networks compute in float32")
        self.program, self.model, self.options = program, model, options
        self.device, self.pending, self.described = settings.device_of(device), None, False
        self.update, self.slots = update, slots
        if program.training is None:
            self.weights = self._own(program.weights)
            self.forward = self._jitted(model.logits)
        else:
            self.state = self._first_state(program.weights)
            self.step = self._jitted(self._train, donate_argnums=0)

    def _own(self, arrays):
        own = self.model.to_own({name: numpy.asarray(array) for name, array in arrays.items()})
        return {name: jnp.array(array, copy=True, device=self.device) for name, array in own.items()}

    def _first_state(self, arrays):
        weights = self._own(arrays)
        statistics = {name: weights.pop(name) for name in self.program.training.updates}
        slots = [jax.tree.map(jnp.zeros_like, weights) for _ in range(self.slots)]
        made = jax.device_put(numpy.int32(self.program.training.optimizer.step), self.device)
        return weights, statistics, slots, made

    def _jitted(self, function, **options):
        jitted = jax.jit(function, **options)

        def call(*arguments):
            with settings.lowering(self.device, self.options):
                return jitted(*arguments)

        # The precision is part of what is traced; fp32's is the process's own.
        return jitted if self.options.precision == "fp32" else call

    def _slope(self, weights, statistics, inputs):
        def loss(weights):
            return self.model.loss({**weights, **statistics}, *inputs)

        return jax.value_and_grad(loss, has_aux=True)(weights)

    def _train(self, state, *inputs):
        weights, statistics, slots, made = state
        (loss, statistics), gradients = self._slope(weights, statistics, inputs)
        weights, slots = self.update(self.program.training.optimizer, weights, gradients, slots, made)
        return (weights, statistics, slots, made + 1), loss

    def stage(self, arrays):
        return [jax.device_put(arrays[tensor.name], self.device) for tensor in self.program.inputs]

    def infer(self, staged):
        self.pending = self.forward(self.weights, *staged)
        return self.pending

    def fetch(self, outputs):
        return {"logits": numpy.asarray(outputs)}

    def synchronize(self):
        jax.block_until_ready(self.pending)

    def train_step(self, staged):
        self.state, loss = self.step(self.state, *staged)
        self.pending = loss, self.state
        return loss

    @functools.cached_property
    def gradient_function(self):
        return self._jitted(lambda state, *inputs: self._slope(state[0], state[1], inputs)[1])

    def gradients(self, staged):
        return self._to_program(self.gradient_function(self.state, *staged))

    def parameters(self):
        weights, statistics, _, _ = self.state
        return self._to_program({**weights, **statistics})

    def _to_program(self, values):
        return self.model.to_program({name: numpy.array(value) for name, value in values.items()})

    def set_parameters(self, arrays):
        self.state = self._first_state({**self.parameters(), **arrays})
        self.pending = self.state

    def memory(self):
        return settings.memory(self.device)

    def describe(self):
        flushed = settings.flushes_denormals() if self.described else None
        self.described = True  # when first asked, nothing has run, and nothing shall
        return {**settings.facts(), "graph": "XLA", "layout": "NHWC", "flush_denormals": flushed}

    def close(self):
        self.weights = self.state = self.pending = None
