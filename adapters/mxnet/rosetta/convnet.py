"""A convnet trained on MNIST by Gluon's Estimator."""

import mxnet as mx
import numpy
from mxnet import gluon
from mxnet.gluon import nn
from mxnet.gluon.contrib.estimator import Estimator

data = numpy.load("data.npz")
train_data = gluon.data.DataLoader(gluon.data.ArrayDataset(data["images"], data["labels"]), batch_size=100)
test_data = gluon.data.DataLoader(gluon.data.ArrayDataset(data["test_images"], data["test_labels"]), batch_size=100)

net = nn.HybridSequential()
net.add(
    nn.Conv2D(8, kernel_size=5, padding=2, activation="relu", weight_initializer=mx.init.Constant(data["conv1"])),
    nn.MaxPool2D(),
    nn.Conv2D(16, kernel_size=5, padding=2, activation="relu", weight_initializer=mx.init.Constant(data["conv2"])),
    nn.MaxPool2D(),
    nn.Dense(10, weight_initializer=mx.init.Constant(data["dense"].T)),
)
net.initialize()
net.hybridize()
trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.02, "momentum": 0.9})
loss = gluon.loss.SoftmaxCrossEntropyLoss()
estimator = Estimator(net, loss, train_metrics=mx.metric.Accuracy(), trainer=trainer)
estimator.fit(train_data, val_data=test_data, epochs=1)

_, accuracy = estimator.val_metrics[0].get()
numpy.savez("results.npz", logits=net(mx.nd.array(data["test_images"])).asnumpy(), accuracy=accuracy)
