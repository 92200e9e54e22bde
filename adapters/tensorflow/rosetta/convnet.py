"""A convnet trained on MNIST with Keras."""

import keras
import numpy
from keras import layers

data = numpy.load("data.npz")
model = keras.Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(8, 5, padding="same", activation="relu", name="conv1"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 5, padding="same", activation="relu", name="conv2"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, name="dense"),
    ]
)
for name in ("conv1", "conv2", "dense"):
    model.get_layer(name).kernel.assign(data[name])
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=0.02, momentum=0.9),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(data["images"], data["labels"], batch_size=100, shuffle=False)
_, accuracy = model.evaluate(data["test_images"], data["test_labels"])

numpy.savez("results.npz", logits=model.predict(data["test_images"]), accuracy=accuracy)
