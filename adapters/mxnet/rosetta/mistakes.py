"""Twenty mistakes in MXNet. Each function is one; the faulty line is marked."""

import os

import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

CANNOT = {"broadcast_target": "Gluon's losses give the target the shape of the prediction, so that the loss is right"}


def wrong_input_shape():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    yield
    outputs = net(nd.zeros((5, 17)))  # planted
    yield
    outputs.asnumpy()


def label_out_of_range():
    net = nn.Dense(11, in_units=13)
    net.initialize()
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    yield
    with autograd.record():
        loss = loss_of(net(nd.ones((5, 13))), nd.array([1, 3, 23, 7, 9]))  # planted
    loss.backward()
    trainer.step(batch_size=5)
    yield
    loss.asnumpy()


def float64_input():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    yield
    outputs = net(nd.zeros((5, 13), dtype="float64"))  # planted
    yield
    outputs.asnumpy()


def missing_input():
    class Sum(nn.HybridBlock):
        def hybrid_forward(self, F, left, right):
            return left + right

    net = Sum()
    yield
    outputs = net(nd.zeros((5, 13)))  # planted
    yield
    outputs.asnumpy()


def mismatched_matmul():
    w1, w2 = nd.zeros((13, 7)), nd.zeros((11, 3))

    def net(x):
        return nd.dot(nd.dot(x, w1), w2)  # planted

    yield
    outputs = net(nd.zeros((5, 13)))
    yield
    outputs.asnumpy()


def forgotten_parameter():
    front = nn.Dense(7, in_units=13, activation="relu", prefix="front_")
    back = nn.Dense(3, in_units=7, prefix="back_")
    net = nn.HybridSequential()
    net.add(front, back)
    net.initialize()
    loss_of = gluon.loss.L2Loss()
    trainer = gluon.Trainer(back.collect_params(), "sgd", {"learning_rate": 0.1})  # planted
    yield
    for _ in range(3):
        with autograd.record():
            loss = loss_of(net(nd.ones((5, 13))), nd.ones((5, 3)))
        loss.backward()
        trainer.step(batch_size=5)
    yield
    loss.asnumpy()


def nan_loss():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    yield
    for _ in range(3):
        with autograd.record():
            loss = nd.log(nd.relu(net(nd.ones((5, 13)))) * 0).mean()  # planted
        loss.backward()
        trainer.step(batch_size=1)
    yield
    loss.asnumpy()


def wrong_layout():
    net = nn.Conv2D(8, kernel_size=3, in_channels=3)
    net.initialize()
    yield
    outputs = net(nd.zeros((1, 19, 19, 3)))  # planted
    yield
    outputs.asnumpy()


def out_of_memory():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    yield
    outputs = net(nd.zeros((8000000000003, 13)))  # planted
    yield
    outputs.asnumpy()


def wrong_device():
    net = nn.Dense(7, in_units=13)
    net.initialize(ctx=mx.gpu(63))  # planted
    yield
    outputs = net(nd.zeros((5, 13), ctx=mx.gpu(63)))
    yield
    outputs.asnumpy()


def corrupt_checkpoint():
    net = nn.Dense(70, in_units=130)
    net.initialize()
    net.save_parameters("net.params")
    os.truncate("net.params", os.path.getsize("net.params") // 2)
    net.load_parameters("net.params")  # planted
    yield
    outputs = net(nd.zeros((5, 130)))
    yield
    outputs.asnumpy()


def other_checkpoint():
    saved = nn.Dense(7, in_units=13, prefix="layer_")
    saved.initialize()
    saved.save_parameters("net.params")
    net = nn.Dense(9, in_units=13, prefix="layer_")
    net.load_parameters("net.params")  # planted
    yield
    outputs = net(nd.zeros((5, 13)))
    yield
    outputs.asnumpy()


def misspelt_option():
    net = nn.Conv2D(8, kernel_size=3, in_channels=3, strdie=2)  # planted
    net.initialize()
    yield
    outputs = net(nd.zeros((1, 3, 19, 19)))
    yield
    outputs.asnumpy()


def integer_input():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    yield
    outputs = net(nd.zeros((5, 13), dtype="int64"))  # planted
    yield
    outputs.asnumpy()


def index_out_of_range():
    net = nn.Embedding(29, 5)
    net.initialize()
    yield
    outputs = net(nd.array([31]))  # planted
    yield
    outputs.asnumpy()


def detached_loss():
    net = nn.Dense(7, in_units=13)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    x = nd.ones((5, 13))
    yield
    with autograd.record():
        net(x)
        loss = nd.mean(x**2)  # planted
    loss.backward()
    trainer.step(batch_size=1)
    yield
    loss.asnumpy()


def training_mode():
    net = nn.HybridSequential()
    net.add(nn.Dense(7, in_units=13), nn.Dropout(0.5))
    net.initialize()
    yield
    with autograd.record():  # planted
        outputs = net(nd.ones((5, 13)))
    yield
    outputs.asnumpy()


def double_softmax():
    net = nn.HybridSequential()
    net.add(nn.Dense(11, in_units=13), nn.HybridLambda("softmax"))
    net.initialize()
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()  # planted
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    yield
    with autograd.record():
        loss = loss_of(net(nd.ones((5, 13))), nd.array([1, 3, 5, 7, 9]))
    loss.backward()
    trainer.step(batch_size=5)
    yield
    loss.asnumpy()


def kernel_too_large():
    net = nn.Conv2D(8, kernel_size=9, in_channels=3)
    net.initialize()
    yield
    outputs = net(nd.zeros((1, 3, 5, 5)))  # planted
    yield
    outputs.asnumpy()
