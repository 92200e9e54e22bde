"""A two-layer net trained by automatic differentiation: training artifacts, Module and Optimizer."""

import sys
import types

import numpy
from onnx import TensorProto, helper, numpy_helper

# onnxruntime.training imports torch by this module, without declaring it and without need here.
sys.modules["onnxruntime.training.optim"] = types.ModuleType("optim")
from onnxruntime.training import artifacts  # noqa: E402
from onnxruntime.training.api import CheckpointState, Module, Optimizer  # noqa: E402

data = numpy.load("data.npz")
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "w1"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["output"]),
    ],
    "two_layer",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 100])],
    [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
    [numpy_helper.from_array(data[name], name) for name in ("w1", "w2")],
)
artifacts.generate_artifacts(
    helper.make_model(graph),
    requires_grad=["w1", "w2"],
    loss=artifacts.LossType.MSELoss,
    optimizer=artifacts.OptimType.SGD,
)

state = CheckpointState.load_checkpoint("checkpoint")
module = Module("training_model.onnx", state)
optimizer = Optimizer("optimizer_model.onnx", module)
optimizer.set_learning_rate(0.5)
losses = []
for _ in range(30):
    losses.append(module(data["x"], data["y"]))
    optimizer.step()
    module.lazy_reset_grad()

parameters = state.parameters
numpy.savez("results.npz", losses=losses, w1=parameters["w1"].data, w2=parameters["w2"].data)
