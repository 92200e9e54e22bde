"""Twenty mistakes in ONNX Runtime. Each function is one; the faulty line is marked."""

import os
import sys
import types

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CANNOT = {
    "training_mode": "by default a session leaves out a Dropout between layers even where the file says that it trains "
    "and so infers rightly"
}


def _model(nodes, inputs, outputs, **weights):
    """A model of float inputs and outputs, given as name: shape, whose weights are ones."""
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(numpy.ones(shape, "float32"), name) for name, shape in weights.items()]
    return helper.make_model(helper.make_graph(nodes, "net", *infos, initializers))


def _dense(inputs, outputs):
    nodes = [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], name="dense")]
    return _model(nodes, {"x": ["batch", inputs]}, {"y": ["batch", outputs]}, weight=(inputs, outputs), bias=(outputs,))


def _training():
    """onnxruntime.training without torch, which it imports by the module that stands in here."""
    sys.modules["onnxruntime.training.optim"] = types.ModuleType("optim")
    from onnxruntime.training import api, artifacts

    return api, artifacts


def wrong_input_shape():
    session = onnxruntime.InferenceSession(_dense(13, 7).SerializeToString())
    yield
    session.run(None, {"x": numpy.zeros((5, 17), "float32")})  # planted


def label_out_of_range():
    api, artifacts = _training()
    artifacts.generate_artifacts(
        _dense(13, 11), requires_grad=["weight", "bias"], loss=artifacts.LossType.CrossEntropyLoss
    )
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    yield
    module(numpy.zeros((5, 13), "float32"), numpy.array([3, 1, 4, 23, 5]))  # planted


def float64_input():
    session = onnxruntime.InferenceSession(_dense(13, 7).SerializeToString())
    yield
    session.run(None, {"x": numpy.zeros((5, 13))})  # planted


def missing_input():
    nodes = [helper.make_node("Add", ["left", "right"], ["sum"], name="add")]
    model = _model(nodes, {"left": [5, 13], "right": [5, 13]}, {"sum": [5, 13]})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"left": numpy.zeros((5, 13), "float32")})  # planted


def mismatched_matmul():
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w2"], ["y"], name="second"),  # planted
    ]
    model = _model(nodes, {"x": ["batch", 13]}, {"y": ["batch", 3]}, w1=(13, 7), w2=(11, 3))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"x": numpy.zeros((5, 13), "float32")})


def forgotten_parameter():
    api, artifacts = _training()
    nodes = [
        helper.make_node("MatMul", ["x", "front"], ["h"], name="front_layer"),
        helper.make_node("MatMul", ["h", "back"], ["y"], name="back_layer"),
    ]
    artifacts.generate_artifacts(
        _model(nodes, {"x": ["batch", 13]}, {"y": ["batch", 3]}, front=(13, 7), back=(7, 3)),
        requires_grad=["back"],  # planted
        loss=artifacts.LossType.MSELoss,
        optimizer=artifacts.OptimType.SGD,
    )
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    optimizer = api.Optimizer("optimizer_model.onnx", module)
    yield
    for _ in range(3):
        module(numpy.ones((5, 13), "float32"), numpy.ones((5, 3), "float32"))
        optimizer.step()
        module.lazy_reset_grad()


def nan_loss():
    api, artifacts = _training()
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
        helper.make_node("Relu", ["y"], ["positive"]),
        helper.make_node("Mul", ["positive", "zero"], ["product"]),
        helper.make_node("Log", ["product"], ["logarithm"]),  # planted
        helper.make_node("ReduceMean", ["logarithm"], ["loss"], keepdims=0),
    ]
    model = _model(nodes, {"x": ["batch", 13]}, {"loss": []}, weight=(13, 7))
    model.graph.initializer.append(numpy_helper.from_array(numpy.array(0, "float32"), "zero"))
    artifacts.generate_artifacts(model, requires_grad=["weight"], optimizer=artifacts.OptimType.SGD)
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    optimizer = api.Optimizer("optimizer_model.onnx", module)
    yield
    for _ in range(3):
        module(numpy.ones((5, 13), "float32"))
        optimizer.step()
        module.lazy_reset_grad()


def wrong_layout():
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["y"], name="conv")]
    model = _model(nodes, {"image": ["batch", 3, 19, 19]}, {"y": ["batch", 8, 17, 17]}, kernel=(8, 3, 3, 3))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"image": numpy.zeros((1, 19, 19, 3), "float32")})  # planted


def out_of_memory():
    session = onnxruntime.InferenceSession(_dense(13, 7).SerializeToString())
    yield
    x = onnxruntime.OrtValue.ortvalue_from_shape_and_type([8000000000003, 13], numpy.float32)  # planted
    session.run_with_ort_values(None, {"x": x})


def wrong_device():
    providers = [("CUDAExecutionProvider", {"device_id": 63})]
    session = onnxruntime.InferenceSession(_dense(13, 7).SerializeToString(), providers=providers)  # planted
    yield
    session.run(None, {"x": numpy.zeros((5, 13), "float32")})


def corrupt_checkpoint():
    onnx.save(_dense(130, 70), "model.onnx")
    os.truncate("model.onnx", os.path.getsize("model.onnx") // 2)
    session = onnxruntime.InferenceSession("model.onnx")  # planted
    yield
    session.run(None, {"x": numpy.zeros((5, 130), "float32")})


def other_checkpoint():
    for outputs in (7, 9):
        nodes = [helper.make_node("MatMul", ["x", "layer"], ["y"], name="layer")]
        model = _model(nodes, {"x": ["batch", 13]}, {"y": ["batch", outputs]}, layer=(13, outputs))
        weights = f"weights{outputs}"
        onnx.save(model, f"model{outputs}.onnx", save_as_external_data=True, location=weights, size_threshold=0)
    os.replace("weights7", "weights9")
    session = onnxruntime.InferenceSession("model9.onnx")  # planted
    yield
    session.run(None, {"x": numpy.zeros((5, 13), "float32")})


def misspelt_option():
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["y"], name="conv", strdie=[2, 2])]  # planted
    shapes = {"image": ["batch", 3, 19, 19]}, {"y": ["batch", 8, "height", "width"]}
    model = _model(nodes, *shapes, kernel=(8, 3, 3, 3))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"image": numpy.zeros((1, 3, 19, 19), "float32")})


def integer_input():
    session = onnxruntime.InferenceSession(_dense(13, 7).SerializeToString())
    yield
    session.run(None, {"x": numpy.zeros((5, 13), "int64")})  # planted


def broadcast_target():
    api, artifacts = _training()
    artifacts.generate_artifacts(_dense(13, 1), requires_grad=["weight", "bias"], loss=artifacts.LossType.MSELoss)
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    yield
    module(numpy.zeros((5, 13), "float32"), numpy.zeros(5, "float32"))  # planted


def index_out_of_range():
    nodes = [helper.make_node("Gather", ["table", "index"], ["rows"], name="embedding")]
    model = _model(nodes, {}, {"rows": ["batch", 5]}, table=(29, 5))
    model.graph.input.append(helper.make_tensor_value_info("index", TensorProto.INT64, ["batch"]))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"index": numpy.array([31])})  # planted


def detached_loss():
    api, artifacts = _training()
    nodes = [
        helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], name="dense"),
        helper.make_node("Mul", ["x", "x"], ["squares"]),  # planted
        helper.make_node("ReduceMean", ["squares"], ["loss"], keepdims=0),
    ]
    model = _model(nodes, {"x": ["batch", 13]}, {"loss": [], "y": ["batch", 7]}, weight=(13, 7), bias=(7,))
    parameters = ["weight", "bias"]
    artifacts.generate_artifacts(model, requires_grad=parameters, optimizer=artifacts.OptimType.SGD)
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    optimizer = api.Optimizer("optimizer_model.onnx", module)
    yield
    module(numpy.ones((5, 13), "float32"))
    optimizer.step()


def double_softmax():
    api, artifacts = _training()
    nodes = [
        helper.make_node("Gemm", ["x", "weight", "bias"], ["logits"], name="dense"),
        helper.make_node("Softmax", ["logits"], ["y"], name="softmax"),
    ]
    artifacts.generate_artifacts(
        _model(nodes, {"x": ["batch", 13]}, {"y": ["batch", 7]}, weight=(13, 7), bias=(7,)),
        requires_grad=["weight", "bias"],
        loss=artifacts.LossType.CrossEntropyLoss,  # planted
        optimizer=artifacts.OptimType.SGD,
    )
    module = api.Module("training_model.onnx", api.CheckpointState.load_checkpoint("checkpoint"))
    optimizer = api.Optimizer("optimizer_model.onnx", module)
    yield
    module(numpy.ones((5, 13), "float32"), numpy.array([3, 1, 4, 1, 5]))
    optimizer.step()


def kernel_too_large():
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["y"], name="conv")]
    shapes = {"image": ["batch", 3, "height", "width"]}, {"y": ["batch", 8, "rows", "columns"]}
    model = _model(nodes, *shapes, kernel=(8, 3, 9, 9))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    yield
    session.run(None, {"image": numpy.zeros((1, 3, 5, 5), "float32")})  # planted
