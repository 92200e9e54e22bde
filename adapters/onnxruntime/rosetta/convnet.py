"""A convnet by training artifacts and Module. ONNX Runtime's Optimizer has no momentum: it is written out."""

import sys
import types

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# onnxruntime.training imports torch by this module, without declaring it and without need here.
sys.modules["onnxruntime.training.optim"] = types.ModuleType("optim")
from onnxruntime.training import artifacts  # noqa: E402
from onnxruntime.training.api import CheckpointState, Module  # noqa: E402

data = dict(numpy.load("data.npz"))
parameters = {name: data[name] for name in ("conv1", "conv2", "dense")}
for name, size in (("bias1", 8), ("bias2", 16), ("bias3", 10)):
    parameters[name] = numpy.zeros(size, numpy.float32)
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["image", "conv1", "bias1"], ["c1"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "conv2", "bias2"], ["c2"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p2"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias3"], ["logits"]),
    ],
    "convnet",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
    [numpy_helper.from_array(array, name) for name, array in parameters.items()],
)
artifacts.generate_artifacts(
    helper.make_model(graph), requires_grad=list(parameters), loss=artifacts.LossType.CrossEntropyLoss
)

state = CheckpointState.load_checkpoint("checkpoint")
module = Module("training_model.onnx", state, "eval_model.onnx")
velocity = dict.fromkeys(parameters, 0)
for start in range(0, 4000, 100):
    batch = slice(start, start + 100)
    module(data["images"][batch], data["labels"][batch])
    for name, parameter in state.parameters:
        velocity[name] = 0.9 * velocity[name] + parameter.grad
        parameter.data = parameter.data - 0.02 * velocity[name]
    module.lazy_reset_grad()

module.export_model_for_inferencing("convnet.onnx", ["logits"])
(logits,) = onnxruntime.InferenceSession("convnet.onnx").run(None, {"image": data["test_images"]})
numpy.savez("results.npz", logits=logits, accuracy=(logits.argmax(1) == data["test_labels"]).mean())
