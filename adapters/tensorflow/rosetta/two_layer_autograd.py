"""A two-layer net trained by automatic differentiation."""

import keras
import numpy
import tensorflow as tf

data = numpy.load("data.npz")
x, y = tf.constant(data["x"]), tf.constant(data["y"])
w1, w2 = tf.Variable(data["w1"]), tf.Variable(data["w2"])
optimizer = keras.optimizers.SGD(learning_rate=0.5)


@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(tf.nn.relu(x @ w1) @ w2 - y))
    gradients = tape.gradient(loss, [w1, w2])
    optimizer.apply(gradients, [w1, w2])
    return loss


losses = [step() for _ in range(30)]

numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
