"""A net on the GPU if there is one: TensorFlow puts it there by itself."""

import numpy
import tensorflow as tf

data = numpy.load("data.npz")
x, w1, w2 = (tf.constant(data[name]) for name in ("x", "w1", "w2"))
outputs = tf.nn.relu(x @ w1) @ w2

numpy.savez("results.npz", outputs=outputs, device=outputs.device)
