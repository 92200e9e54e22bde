"""What the hand-written networks share: one tf.function for a pass and one for a training step.

Weights are constants of the graph in inference, as in a frozen model, and variables in training.
"""

from __future__ import annotations

import functools

import numpy
import tensorflow as tf

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
        """[batch, classes] in inference. w: weights by name."""
        raise NotImplementedError

    def loss(self, w, x, labels):
        """The mean cross-entropy of a training step, and {name: new value} of running statistics."""
        return cross_entropy(self.logits(w, x), labels), {}


def cross_entropy(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


class NativeNetwork(Network):
    def __init__(self, program, device, options, model, optimizer=None):
        """optimizer: makes one from the Program's numbers and {name: variable}."""
        settings.check(device, options, ("native",))
        if options.precision not in ("fp32", "tf32"):
            raise Unsupported("the hand-written networks compute in float32")
        settings.configure(device, options)
        self.program, self.model, self.device = program, model, settings.DEVICES[device]
        self.on_cpu = device == "cpu"
        self.described = False
        weights = model.to_own({name: numpy.asarray(array) for name, array in program.weights.items()})
        with tf.device(self.device):
            if program.training is None:
                self.forward = self._function(lambda x: model.logits(weights, x))
                return
            self.variables = {name: tf.Variable(array, name="weight") for name, array in weights.items()}
            statistics = set(program.training.updates)
            self.trained = {name: v for name, v in self.variables.items() if name not in statistics}
            self.optimizer = optimizer(program.training.optimizer, self.trained, self.on_cpu)
            self.step = self._function(self._train)

    def _function(self, function):
        signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self.program.inputs]
        return tf.function(function, signature, autograph=False).get_concrete_function()

    def _differentiated(self, x, labels):
        with tf.GradientTape() as tape:
            loss, updates = self.model.loss(self.variables, x, labels)
        return loss, updates, tape.gradient(loss, self.trained)

    def _train(self, x, labels):
        loss, updates, gradients = self._differentiated(x, labels)
        self.optimizer.apply(gradients)
        for name, value in updates.items():
            self.variables[name].assign(value)
        return loss

    def stage(self, arrays):
        with tf.device(self.device):
            return [tf.constant(arrays[tensor.name]) for tensor in self.program.inputs]

    def infer(self, staged):
        return self.forward(*staged)

    def fetch(self, outputs):
        return {"logits": outputs.numpy()}

    def synchronize(self):
        if not self.on_cpu:
            tf.test.experimental.sync_devices()

    def train_step(self, staged):
        return self.step(*staged)

    @functools.cached_property
    def gradient_function(self):
        with tf.device(self.device):
            return self._function(lambda *inputs: _dense(self._differentiated(*inputs)[2]))

    def gradients(self, staged):
        return self._to_program(self.gradient_function(*staged))

    def parameters(self):
        return self._to_program(self.variables)

    def _to_program(self, values):
        return self.model.to_program({name: value.numpy() for name, value in values.items()})

    def set_parameters(self, arrays):
        weights = self.model.to_own({**self.parameters(), **arrays})
        with tf.device(self.device):
            for name, variable in self.variables.items():
                variable.assign(weights[name])
            self.optimizer.reset()

    def memory(self):
        return settings.memory(self.device)

    def reset_peak(self):
        settings.reset_peak(self.device)

    def describe(self):
        function = self.forward if self.program.training is None else self.step
        flushed = settings.flushes_denormals("graph") if self.described else None
        self.described = True  # when first asked, nothing has run, and nothing shall
        return {
            **settings.facts(),
            "graph": "tf.function",
            "layout": "NHWC",
            "operators": settings.operators(function),
            "flush_denormals": flushed,
        }


def _dense(gradients):
    return {name: tf.convert_to_tensor(gradient) for name, gradient in gradients.items()}


class Optimizer:
    """One of TensorFlow's fused updates for every variable. slots: zeros that it keeps for each. by_rows: whether
    there are kernels that change some rows only; a GPU has not all of them."""

    slots = 1

    def __init__(self, numbers, variables, by_rows):
        self.by_rows = by_rows
        self.rate, self.numbers, self.variables = numbers.learning_rate, numbers.attributes, variables
        self.state = {
            name: [tf.Variable(tf.zeros_like(v), trainable=False) for _ in range(self.slots)]
            for name, v in variables.items()
        }

    def reset(self):
        for slots in self.state.values():
            for slot in slots:
                slot.assign(tf.zeros_like(slot))

    def apply(self, gradients):
        for name, variable in self.variables.items():
            self.update(variable, gradients[name], *self.state[name])

    def update(self, variable, gradient, *slots):
        raise NotImplementedError


class Momentum(Optimizer):
    """With L2 regularisation where the numbers have it."""

    def update(self, variable, gradient, velocity):
        decay = self.numbers["norm_coefficient"]
        if decay:
            gradient += decay * variable
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle, accum=velocity.handle, lr=self.rate, grad=gradient, momentum=self.numbers["alpha"]
        )


class Adagrad(Optimizer):
    def update(self, variable, gradient, squares):
        kernel, grad = tf.raw_ops.ResourceApplyAdagradV2, {"grad": gradient}
        if isinstance(gradient, tf.IndexedSlices) and self.by_rows:
            # Rows that were looked up; the others have no gradient and stay where they are.
            rows, places = tf.unique(gradient.indices)
            summed = tf.math.unsorted_segment_sum(gradient.values, places, tf.shape(rows)[0])
            kernel, grad = tf.raw_ops.ResourceSparseApplyAdagradV2, {"grad": summed, "indices": rows}
        kernel(var=variable.handle, accum=squares.handle, lr=self.rate, epsilon=self.numbers["epsilon"], **grad)


class Adam(Optimizer):
    """The bias correction is that of the steps made before, none in the first step, as ONNX has it."""

    slots = 2

    def __init__(self, numbers, variables, by_rows):
        super().__init__(numbers, variables, by_rows)
        self.made = tf.Variable(0, dtype=tf.int64, trainable=False)

    def reset(self):
        super().reset()
        self.made.assign(0)

    def apply(self, gradients):
        made = tf.cast(self.made, tf.float64)
        later = tf.maximum(made, 1)
        corrected = self.rate * tf.sqrt(1 - self.numbers["beta"] ** later) / (1 - self.numbers["alpha"] ** later)
        self.corrected_rate = tf.cast(tf.where(made > 0, corrected, self.rate), tf.float32)
        super().apply(gradients)
        self.made.assign_add(1)

    def update(self, variable, gradient, mean, variance):
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.handle,
            v=variance.handle,
            beta1_power=0.0,  # the kernel's own correction is that of one step later
            beta2_power=0.0,
            lr=self.corrected_rate,
            beta1=self.numbers["alpha"],
            beta2=self.numbers["beta"],
            epsilon=self.numbers["epsilon"],
            grad=tf.convert_to_tensor(gradient),
        )
