"""A two-layer net trained with its gradients written out."""

import numpy
import tensorflow as tf

data = numpy.load("data.npz")
x, y = tf.constant(data["x"]), tf.constant(data["y"])
w1, w2 = tf.Variable(data["w1"]), tf.Variable(data["w2"])


@tf.function
def step():
    hidden = tf.nn.relu(x @ w1)
    error = hidden @ w2 - y
    slope = 2 * error / y.shape.num_elements()
    w1_gradient = tf.transpose(x) @ tf.where(hidden > 0, slope @ tf.transpose(w2), 0)
    w2_gradient = tf.transpose(hidden) @ slope
    w1.assign_sub(0.5 * w1_gradient)
    w2.assign_sub(0.5 * w2_gradient)
    return tf.reduce_mean(tf.square(error))


losses = [step() for _ in range(30)]

numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
