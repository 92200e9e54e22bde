"""ONNX's optimizers (ai.onnx.preview.training 1) through TensorFlow's fused kernels, which compute the same.

`step` is T, the number of steps made before; G' = norm_coefficient * X + G in all of them.
"""

from __future__ import annotations

import tensorflow as tf

from ..kit.interface import Unsupported


class Optimizer:
    """State of one training run: slots per parameter, and T."""

    slots = ()

    def __init__(self, optimizer, parameters, target):
        self.target = target
        self.rate = optimizer.learning_rate
        self.attributes = optimizer.attributes
        self.first_step = optimizer.step
        self.step = tf.Variable(optimizer.step, dtype=tf.int64, trainable=False)
        self.state = {
            name: [tf.Variable(tf.zeros_like(variable), trainable=False) for _ in self.slots]
            for name, variable in parameters.items()
        }

    def reset(self):
        """Back to the state before the first step."""
        self.step.assign(self.first_step)
        for slot in (slot for slots in self.state.values() for slot in slots):
            slot.assign(tf.zeros_like(slot))

    def apply(self, parameters, gradients):
        """Change every parameter by its gradient, and count the step."""
        facts = self.facts(tf.cast(self.step, tf.float64)) if self.counts else None
        for name, variable in parameters.items():
            gradient = gradients[name]
            norm = self.attributes.get("norm_coefficient", 0.0)
            if norm:
                gradient = norm * variable + gradient
            self.update(variable, gradient, self.state[name], facts)
        if self.counts:
            self.step.assign_add(1)

    @property
    def counts(self):
        """Whether anything depends on the number of the step."""
        return True

    def facts(self, step):
        """A factor, float32, that depends on the step alone, computed in double precision."""

    def update(self, x, gradient, slots, facts):
        raise NotImplementedError


class Momentum(Optimizer):
    """V' = alpha*V + beta*G' (beta is 1 in the first step); X' = X - R*V', or X - R*(G' + alpha*V') by Nesterov."""

    slots = ("V",)

    @property
    def counts(self):
        return self.attributes.get("beta", 1.0) != 1

    def facts(self, step):
        return tf.cast(tf.where(step > 0, self.attributes["beta"], 1.0), tf.float32)

    def update(self, x, gradient, slots, facts):
        (v,) = slots
        nesterov = self.attributes.get("mode", "standard") == "nesterov"
        alpha = self.attributes["alpha"]
        if facts is None or not nesterov:
            fed = gradient if facts is None else facts * gradient
            tf.raw_ops.ResourceApplyMomentum(
                var=x.handle, accum=v.handle, lr=self.rate, grad=fed, momentum=alpha, use_nesterov=nesterov
            )
        else:
            v.assign(alpha * v + facts * gradient)
            x.assign_sub(self.rate * (gradient + alpha * v))


class Adam(Optimizer):
    """V' = alpha*V + (1-alpha)*G'; H' = beta*H + (1-beta)*G'*G'; X' = (1-post)*(X - R'*V'/(sqrt(H')+epsilon)).

    R' = R*sqrt(1-beta**T)/(1-alpha**T), and R in the first step. TensorFlow's kernel gets R' as its rate, and
    powers of zero, which switch its own correction (that of step T+1) off.
    """

    slots = ("V", "H")

    def facts(self, step):
        alpha, beta = self.attributes["alpha"], self.attributes["beta"]
        later = tf.maximum(step, 1)
        corrected = self.rate * tf.sqrt(1 - beta**later) / (1 - alpha**later)
        return tf.cast(tf.where(step > 0, corrected, self.rate), tf.float32)

    def update(self, x, gradient, slots, facts):
        v, h = slots
        tf.raw_ops.ResourceApplyAdam(
            var=x.handle,
            m=v.handle,
            v=h.handle,
            beta1_power=0.0,
            beta2_power=0.0,
            lr=facts,
            beta1=self.attributes["alpha"],
            beta2=self.attributes["beta"],
            epsilon=self.attributes["epsilon"],
            grad=gradient,
        )
        post = self.attributes.get("norm_coefficient_post", 0.0)
        if post:
            x.assign((1 - post) * x)


class Adagrad(Optimizer):
    """R' = R/(1+T*decay_factor); H' = H + G'*G'; X' = X - R'*G'/(sqrt(H')+epsilon)."""

    slots = ("H",)

    @property
    def counts(self):
        return self.attributes.get("decay_factor", 0.0) != 0

    def facts(self, step):
        return tf.cast(self.rate / (1 + step * self.attributes["decay_factor"]), tf.float32)

    def update(self, x, gradient, slots, facts):
        (h,) = slots
        kernel, fed = tf.raw_ops.ResourceApplyAdagradV2, {"grad": gradient}
        if isinstance(gradient, tf.IndexedSlices) and self.target.kernels_on_cpu:
            # Where there is no gradient, there is no step: only rows that were looked up move.
            # workaround: TensorFlow's sparse kernel takes a row that is there twice for two steps.
            rows, places = tf.unique(gradient.indices)
            summed = tf.math.unsorted_segment_sum(gradient.values, places, tf.shape(rows)[0])
            kernel, fed = tf.raw_ops.ResourceSparseApplyAdagradV2, {"grad": summed, "indices": rows}
        rate = self.rate if facts is None else facts
        kernel(var=x.handle, accum=h.handle, lr=rate, epsilon=self.attributes["epsilon"], **fed)


KINDS = {"Momentum": Momentum, "Adam": Adam, "Adagrad": Adagrad}


def make(optimizer, parameters, target):
    """The optimizer of a Program for {name: tf.Variable}."""
    if optimizer.op not in KINDS:
        raise Unsupported("no such optimizer", operator=optimizer.op)
    others = [name for name, variable in parameters.items() if variable.dtype != tf.float32]
    if others:
        raise Unsupported("trained parameters that are not float32: " + ", ".join(others[:3]), optimizer.op)
    return KINDS[optimizer.op](optimizer, parameters, target)
