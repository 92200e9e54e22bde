"""Twenty mistakes in Theano. Each function is one; the faulty line is marked."""

import os
import pickle

import numpy
import theano
import theano.tensor as T
from theano.tensor.shared_randomstreams import RandomStreams


def _weight(*shape, name=None):
    return theano.shared(numpy.full(shape, 0.1, "float32"), name)


def _updates(loss, params):
    return [(param, param - 0.1 * grad) for param, grad in zip(params, T.grad(loss, params))]


def wrong_input_shape():
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(x, _weight(13, 7)))
    yield
    net(numpy.zeros((5, 17), "float32"))  # planted


def label_out_of_range():
    x, labels, w = T.fmatrix("x"), T.lvector("labels"), _weight(13, 11)
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(x, w)), labels).mean()
    train = theano.function([x, labels], loss, updates=_updates(loss, [w]))
    yield
    train(numpy.ones((5, 13), "float32"), numpy.array([1, 3, 23, 7, 9]))  # planted


def float64_input():
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(x, _weight(13, 7)))
    yield
    net(numpy.zeros((5, 13)))  # planted


def missing_input():
    left, right = T.fmatrix("left"), T.fmatrix("right")
    net = theano.function([left, right], left + right)
    yield
    net(numpy.zeros((5, 13), "float32"))  # planted


def mismatched_matmul():
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(T.dot(x, _weight(13, 7)), _weight(11, 3)))  # planted
    yield
    net(numpy.zeros((5, 13), "float32"))


def forgotten_parameter():
    x, y = T.fmatrix("x"), T.fmatrix("y")
    front, back = _weight(13, 7, name="front"), _weight(7, 3, name="back")
    loss = T.mean((T.dot(T.nnet.relu(T.dot(x, front)), back) - y) ** 2)
    train = theano.function([x, y], loss, updates=_updates(loss, [back]))  # planted
    yield
    for _ in range(3):
        train(numpy.ones((5, 13), "float32"), numpy.ones((5, 3), "float32"))


def nan_loss():
    x, w = T.fmatrix("x"), _weight(13, 7)
    loss = T.mean(T.log(T.nnet.relu(T.dot(x, w)) * 0))  # planted
    train = theano.function([x], loss, updates=_updates(loss, [w]))
    yield
    for _ in range(3):
        train(numpy.ones((5, 13), "float32"))


def wrong_layout():
    images = T.ftensor4("images")
    net = theano.function([images], T.nnet.conv2d(images, _weight(8, 3, 3, 3)))
    yield
    net(numpy.zeros((1, 19, 19, 3), "float32"))  # planted


def out_of_memory():
    rows = T.lscalar("rows")
    net = theano.function([rows], T.dot(T.zeros((rows, 13), "float32"), _weight(13, 7)))
    yield
    net(8000000000003)  # planted


def wrong_device():
    theano.gpuarray.use("cuda63", force=True)  # planted
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(x, _weight(13, 7)))
    yield
    net(numpy.zeros((5, 13), "float32"))


def corrupt_checkpoint():
    with open("weights.pkl", "wb") as file:
        pickle.dump(_weight(130, 70), file, protocol=pickle.HIGHEST_PROTOCOL)
    os.truncate("weights.pkl", os.path.getsize("weights.pkl") // 2)
    with open("weights.pkl", "rb") as file:
        w = pickle.load(file)  # planted
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(x, w))
    yield
    net(numpy.zeros((5, 130), "float32"))


def other_checkpoint():
    with open("weights.pkl", "wb") as file:
        pickle.dump(_weight(13, 7, name="layer").get_value(), file, protocol=pickle.HIGHEST_PROTOCOL)
    x, layer = T.fmatrix("x"), _weight(13, 9, name="layer")
    net = theano.function([x], T.dot(x, layer))
    with open("weights.pkl", "rb") as file:
        layer.set_value(pickle.load(file))  # planted
    yield
    net(numpy.zeros((5, 13), "float32"))


def misspelt_option():
    images = T.ftensor4("images")
    outputs = T.nnet.conv2d(images, _weight(8, 3, 3, 3), strdie=2)  # planted
    net = theano.function([images], outputs)
    yield
    net(numpy.zeros((1, 3, 19, 19), "float32"))


def integer_input():
    x = T.fmatrix("x")
    net = theano.function([x], T.dot(x, _weight(13, 7)))
    yield
    net(numpy.zeros((5, 13), "int64"))  # planted


def broadcast_target():
    x, y, w = T.fmatrix("x"), T.fvector("y"), _weight(13, 1)
    loss = T.mean(T.sqr(T.dot(x, w) - y))  # planted
    train = theano.function([x, y], loss, updates=_updates(loss, [w]))
    yield
    train(numpy.ones((5, 13), "float32"), numpy.arange(5, dtype="float32"))


def index_out_of_range():
    index = T.lvector("index")
    net = theano.function([index], _weight(29, 5)[index])
    yield
    net(numpy.array([31]))  # planted


def detached_loss():
    x, w = T.fmatrix("x"), _weight(13, 7)
    loss = T.mean(x**2)  # planted
    train = theano.function([x], loss, updates=_updates(loss, [w]))
    yield
    train(numpy.ones((5, 13), "float32"))


def training_mode():
    x = T.fmatrix("x")
    hidden = T.dot(x, _weight(13, 7))
    kept = RandomStreams(0).binomial(hidden.shape, p=0.5, dtype="float32")
    net = theano.function([x], hidden * kept / 0.5)  # planted
    yield
    net(numpy.ones((5, 13), "float32"))


def double_softmax():
    x, labels, w = T.fmatrix("x"), T.lvector("labels"), _weight(13, 11)
    scores = T.nnet.softmax(T.dot(x, w))
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(scores), labels).mean()  # planted
    train = theano.function([x, labels], loss, updates=_updates(loss, [w]))
    yield
    train(numpy.ones((5, 13), "float32"), numpy.array([1, 3, 5, 7, 9]))


def kernel_too_large():
    images = T.ftensor4("images")
    net = theano.function([images], T.nnet.conv2d(images, _weight(8, 3, 9, 9)))
    yield
    net(numpy.zeros((1, 3, 5, 5), "float32"))  # planted
