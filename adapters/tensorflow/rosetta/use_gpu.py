"""A net on the GPU if there is one: TensorFlow puts it there by itself."""

import keras
import numpy

data = numpy.load("data.npz")
model = keras.Sequential(
    [
        keras.Input(shape=(100,)),
        keras.layers.Dense(32, activation="relu", use_bias=False),
        keras.layers.Dense(10, use_bias=False),
    ]
)
model.set_weights([data["w1"], data["w2"]])
outputs = model(data["x"])

numpy.savez("results.npz", outputs=outputs, device=outputs.device)
