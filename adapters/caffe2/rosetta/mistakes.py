"""Twenty mistakes in Caffe2. Each function is one; the faulty line is marked."""

import os

import numpy
from caffe2.python import brew, core, model_helper, optimizer, workspace

CANNOT = {}

workspace.GlobalInit(["caffe2"])


def wrong_input_shape():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 13, 7)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 17), "float32"))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def label_out_of_range():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "logits", 13, 11)
    _, loss = model.net.SoftmaxWithLoss(["logits", "labels"], ["softmax", "loss"])
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x", "labels"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    workspace.FeedBlob("labels", numpy.array([1, 3, 23, 7, 9], "int32"))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def float64_input():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 13, 7)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 13)))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def missing_input():
    net = core.Net("net")
    net.Add(["left", "right"], "sum")
    yield
    workspace.FeedBlob("left", numpy.zeros((5, 13), "float32"))
    workspace.RunNetOnce(net)  # planted
    yield
    workspace.FetchBlob("sum")


def mismatched_matmul():
    workspace.FeedBlob("w1", numpy.zeros((13, 7), "float32"))
    workspace.FeedBlob("w2", numpy.zeros((11, 3), "float32"))
    net = core.Net("net")
    hidden = net.MatMul(["x", "w1"])
    net.MatMul([hidden, "w2"], "y")  # planted
    workspace.CreateNet(net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 13), "float32"))
    workspace.RunNet(net)
    yield
    workspace.FetchBlob("y")


def forgotten_parameter():
    model = model_helper.ModelHelper("net")
    front = brew.relu(model, brew.fc(model, "x", "front", 13, 7), "hidden")
    brew.fc(model, front, "back", 7, 3)
    loss = model.net.AveragedLoss(model.net.SquaredL2Distance(["back", "target"]), "loss")
    gradients = model.AddGradientOperators([loss])
    one = model.param_init_net.ConstantFill([], "one", shape=[1], value=1.0)
    rate = model.param_init_net.ConstantFill([], "rate", shape=[1], value=-0.1)
    for parameter in ("back_w", "back_b"):  # planted
        model.net.WeightedSum([parameter, one, gradients[parameter], rate], parameter)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x", "target"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    workspace.FeedBlob("target", numpy.ones((5, 3), "float32"))
    for _ in range(3):
        workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def nan_loss():
    model = model_helper.ModelHelper("net")
    h = brew.relu(model, brew.fc(model, "x", "h", 13, 7), "positive")
    loss = model.net.AveragedLoss(model.net.Log(model.net.Scale(h, scale=0.0)), "loss")  # planted
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    for _ in range(3):
        workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def wrong_layout():
    model = model_helper.ModelHelper("net")
    brew.conv(model, "x", "y", 3, 8, kernel=3)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((1, 19, 19, 3), "float32"))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def out_of_memory():
    model = model_helper.ModelHelper("net")
    x = model.net.ConstantFill([], "x", shape=[8000000000003, 13], value=0.0)  # planted
    brew.fc(model, x, "y", 13, 7)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    yield
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def wrong_device():
    model = model_helper.ModelHelper("net")
    with core.DeviceScope(core.DeviceOption(workspace.GpuDeviceType, 63)):  # planted
        brew.fc(model, "x", "y", 13, 7)
        workspace.RunNetOnce(model.param_init_net)
        workspace.CreateNet(model.net, input_blobs=["x"])
        yield
        workspace.FeedBlob("x", numpy.zeros((5, 13), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def corrupt_checkpoint():
    checkpoint = {"db": "net.minidb", "db_type": "minidb", "absolute_path": True}
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 130, 70)
    workspace.RunNetOnce(model.param_init_net)
    workspace.RunOperatorOnce(core.CreateOperator("Save", model.params, [], **checkpoint))
    os.truncate("net.minidb", os.path.getsize("net.minidb") // 2)
    workspace.RunOperatorOnce(core.CreateOperator("Load", [], model.params, **checkpoint))  # planted
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 130), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def other_checkpoint():
    checkpoint = {"db": "net.minidb", "db_type": "minidb", "absolute_path": True}
    saved = model_helper.ModelHelper("saved")
    brew.fc(saved, "x", "layer", 13, 7)
    workspace.RunNetOnce(saved.param_init_net)
    workspace.RunOperatorOnce(core.CreateOperator("Save", saved.params, [], **checkpoint))
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "layer", 13, 9)
    workspace.RunNetOnce(model.param_init_net)
    workspace.RunOperatorOnce(core.CreateOperator("Load", [], model.params, **checkpoint))  # planted
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 13), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("layer")


def misspelt_option():
    model = model_helper.ModelHelper("net")
    brew.conv(model, "x", "y", 3, 8, kernel=3, strdie=2)  # planted
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((1, 3, 19, 19), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def integer_input():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 13, 7)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 13), "int64"))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def broadcast_target():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 13, 1)
    loss = model.net.AveragedLoss(model.net.SquaredL2Distance(["y", "target"]), "loss")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x", "target"])
    yield
    workspace.FeedBlob("x", numpy.zeros((5, 13), "float32"))
    workspace.FeedBlob("target", numpy.zeros(5, "float32"))  # planted
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def index_out_of_range():
    workspace.FeedBlob("table", numpy.zeros((29, 5), "float32"))
    net = core.Net("net")
    net.Gather(["table", "rows"], "y")
    workspace.CreateNet(net, input_blobs=["rows"])
    yield
    workspace.FeedBlob("rows", numpy.array([3, 31]))  # planted
    workspace.RunNet(net)
    yield
    workspace.FetchBlob("y")


def detached_loss():
    model = model_helper.ModelHelper("net")
    brew.fc(model, "x", "y", 13, 7)
    loss = model.net.AveragedLoss(model.net.Sqr("x"), "loss")  # planted
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def training_mode():
    model = model_helper.ModelHelper("net")
    h = brew.fc(model, "x", "h", 13, 7)
    brew.dropout(model, h, "y", ratio=0.5, is_test=0)  # planted
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")


def double_softmax():
    model = model_helper.ModelHelper("net")
    brew.softmax(model, brew.fc(model, "x", "h", 13, 7), "y")
    _, loss = model.net.SoftmaxWithLoss(["y", "labels"], ["softmax", "loss"])  # planted
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1)
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x", "labels"])
    yield
    workspace.FeedBlob("x", numpy.ones((5, 13), "float32"))
    workspace.FeedBlob("labels", numpy.zeros(5, "int32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("loss")


def kernel_too_large():
    model = model_helper.ModelHelper("net")
    brew.conv(model, "x", "y", 3, 8, kernel=9)  # planted
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net, input_blobs=["x"])
    yield
    workspace.FeedBlob("x", numpy.zeros((1, 3, 5, 5), "float32"))
    workspace.RunNet(model.net)
    yield
    workspace.FetchBlob("y")
