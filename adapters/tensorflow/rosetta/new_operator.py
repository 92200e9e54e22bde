"""A new operator with its own gradient, checked numerically."""

import numpy
import tensorflow as tf

data = numpy.load("data.npz")
x, v = tf.constant(data["x"]), tf.constant(data["v"])


@tf.custom_gradient
def bent_identity(x):
    root = tf.sqrt(tf.square(x) + 1)

    def grad(upstream):
        return upstream * (x / (2 * root) + 1)

    return (root - 1) / 2 + x, grad


(gradient,), (numeric,) = tf.test.compute_gradient(lambda x: tf.reduce_sum(bent_identity(x) * v), [x])

numpy.savez("results.npz", y=bent_identity(x), gradient=gradient[0], numeric=numeric[0])
