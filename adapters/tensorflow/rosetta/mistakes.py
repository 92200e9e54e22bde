"""Twenty mistakes in TensorFlow and Keras. Each function is one; the faulty line is marked."""

import os

import keras
import tensorflow as tf

CANNOT = {
    "broadcast_target": "Keras brings targets to the rank of the predictions: (5,) becomes (5, 1), nothing broadcasts",
}


def _dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def wrong_input_shape():
    net = _dense(13, 7)
    yield
    net.predict(tf.zeros((5, 17)))  # planted


def label_out_of_range():
    net = _dense(13, 11)
    net.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    yield
    net.fit(tf.ones((5, 13)), tf.constant([0, 2, 23, 4, 6]))  # planted


def float64_input():
    net = _dense(13, 7)
    yield
    got = net.predict(tf.ones((5, 13), tf.float64))  # planted
    return got, net.predict(tf.ones((5, 13)))


def missing_input():
    left, right = keras.Input((13,), name="left"), keras.Input((13,), name="right")
    net = keras.Model([left, right], keras.layers.add([left, right]))
    yield
    net.predict({"left": tf.zeros((5, 13))})  # planted


def mismatched_matmul():
    w1, w2 = tf.Variable(tf.zeros((13, 7))), tf.Variable(tf.zeros((11, 3)))

    @tf.function
    def net(x):
        return x @ w1 @ w2  # planted

    yield
    net(tf.zeros((5, 13)))


def forgotten_parameter():
    front, back = keras.layers.Dense(7, name="front"), keras.layers.Dense(3, name="back")
    net = keras.Sequential([keras.Input((13,)), front, back])
    optimizer = keras.optimizers.SGD()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(net(x) - y))
        gradients = tape.gradient(loss, back.trainable_variables)  # planted
        optimizer.apply(gradients, back.trainable_variables)

    yield
    for _ in range(3):
        step(tf.ones((5, 13)), tf.zeros((5, 3)))


def nan_loss():
    net = _dense(13, 7)

    def loss_of(target, y):
        return tf.reduce_mean(tf.math.log(tf.nn.relu(y) * 0))  # planted

    net.compile(optimizer="sgd", loss=loss_of)
    yield
    net.fit(tf.ones((5, 13)), tf.zeros((5, 7)), epochs=3)


def wrong_layout():
    net = keras.Sequential([keras.Input((19, 19, 3)), keras.layers.Conv2D(8, 3)])
    yield
    net.predict(tf.zeros((1, 3, 19, 19)))  # planted


def out_of_memory():
    net = _dense(13, 7)
    yield
    net.predict(tf.zeros((8000000000003, 13)))  # planted


def wrong_device():
    with tf.device("/GPU:63"):  # planted
        net = _dense(13, 7)
    yield
    net.predict(tf.zeros((5, 13)))


def corrupt_checkpoint():
    _dense(130, 70).save_weights("net.weights.h5")
    os.truncate("net.weights.h5", os.path.getsize("net.weights.h5") // 2)
    net = _dense(130, 70)
    net.load_weights("net.weights.h5")  # planted
    yield
    net.predict(tf.zeros((5, 130)))


def other_checkpoint():
    def build(outputs):
        return keras.Sequential([keras.Input((13,)), keras.layers.Dense(outputs, name="layer")])

    build(7).save_weights("net.weights.h5")
    net = build(9)
    net.load_weights("net.weights.h5")  # planted
    yield
    net.predict(tf.zeros((5, 13)))


def misspelt_option():
    net = keras.Sequential([keras.Input((19, 19, 3)), keras.layers.Conv2D(8, 3, strdie=2)])  # planted
    yield
    net.predict(tf.zeros((1, 19, 19, 3)))


def integer_input():
    net = _dense(13, 7)
    yield
    got = net.predict(tf.ones((5, 13), tf.int64))  # planted
    return got, net.predict(tf.ones((5, 13)))


def index_out_of_range():
    net = keras.Sequential([keras.Input((1,)), keras.layers.Embedding(29, 5)])
    yield
    net.predict(tf.constant([[31]]))  # planted


def detached_loss():
    net = _dense(13, 7)
    optimizer = keras.optimizers.SGD()

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            net(x)
            loss = tf.reduce_mean(tf.square(x))  # planted
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply(gradients, net.trainable_variables)

    yield
    step(tf.ones((5, 13)))


def training_mode():
    net = keras.Sequential([keras.Input((13,)), keras.layers.Dense(7), keras.layers.Dropout(0.5)])
    yield
    net(tf.ones((5, 13)), training=True)  # planted


def double_softmax():
    net = keras.Sequential([keras.Input((13,)), keras.layers.Dense(7, activation="softmax")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # planted
    net.compile(optimizer="sgd", loss=loss)
    yield
    net.fit(tf.ones((5, 13)), tf.constant([0, 1, 2, 3, 4]))


def kernel_too_large():
    net = keras.Sequential([keras.Input((5, 5, 3)), keras.layers.Conv2D(8, 9)])  # planted
    yield
    net.predict(tf.zeros((1, 5, 5, 3)))
