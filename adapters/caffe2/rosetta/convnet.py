"""A convnet built by brew, trained for one epoch and tested by a net that shares its parameters."""

import numpy
from caffe2.python import brew, model_helper, optimizer, workspace


def max_pool(model, blob, channels, size):
    # MaxPool's own gradient on a CPU goes in full to each of several equal pixels, TopK's to one of them.
    windows, _ = model.net.Reshape(blob, 2, shape=[-1, channels, size, 2, size, 2])
    windows = model.net.Transpose(windows, axes=[0, 1, 2, 4, 3, 5])
    windows, _ = model.net.Reshape(windows, 2, shape=[-1, channels, size, size, 4])
    largest, _ = model.net.TopK(windows, 2, k=1)
    return model.net.Squeeze(largest, dims=[4])


def add_convnet(model):
    h = brew.relu(model, brew.conv(model, "images", "conv1", 1, 8, kernel=5, pad=2), "relu1")
    h = max_pool(model, h, 8, 14)
    h = brew.relu(model, brew.conv(model, h, "conv2", 8, 16, kernel=5, pad=2), "relu2")
    h = max_pool(model, h, 16, 7)
    return brew.fc(model, h, "logits", 16 * 7 * 7, 10)


def feed(images, labels):
    workspace.FeedBlob("images", images)
    workspace.FeedBlob("labels", labels.astype("int32"))


workspace.GlobalInit(["caffe2"])
data = dict(numpy.load("data.npz"))
train = model_helper.ModelHelper("train")
_, loss = train.net.SoftmaxWithLoss([add_convnet(train), "labels"], ["softmax", "loss"])
train.AddGradientOperators([loss])
optimizer.build_sgd(train, base_learning_rate=0.02, momentum=0.9, nesterov=False)
workspace.RunNetOnce(train.param_init_net)
workspace.FeedBlob("conv1_w", data["conv1"])
workspace.FeedBlob("conv2_w", data["conv2"])
workspace.FeedBlob("logits_w", data["dense"].T)
workspace.CreateNet(train.net, input_blobs=["images", "labels"])
for begin in range(0, 4000, 100):
    feed(data["images"][begin : begin + 100], data["labels"][begin : begin + 100])
    workspace.RunNet(train.net)

test = model_helper.ModelHelper("test", init_params=False)
brew.accuracy(test, [add_convnet(test), "labels"], "accuracy")
feed(data["test_images"], data["test_labels"])
workspace.RunNetOnce(test.net)
numpy.savez("results.npz", logits=workspace.FetchBlob("logits"), accuracy=workspace.FetchBlob("accuracy"))
