"""A net to ONNX by Keras with tf2onnx, and back by onnx2tf: TensorFlow itself does not read ONNX."""

import keras
import numpy
import onnx2tf

data = numpy.load("data.npz")
net = keras.Sequential(
    [
        keras.Input(shape=(100,)),
        keras.layers.Dense(32, activation="relu", use_bias=False),
        keras.layers.Dense(10, use_bias=False),
    ]
)
net.set_weights([data["w1"], data["w2"]])
before = net(data["x"])
net.export("model.onnx", format="onnx")
again = onnx2tf.convert("model.onnx", not_use_onnxsim=True)

numpy.savez("results.npz", before=before, after=again(data["x"]))
