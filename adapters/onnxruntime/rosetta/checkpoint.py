"""Ten steps, a checkpoint, and ten more in a fresh process. ONNX Runtime's Optimizer has no momentum: it is written
out, and its velocities are saved as parameters that are frozen."""

import subprocess
import sys
import types
from pathlib import Path

import numpy
from onnx import TensorProto, helper, numpy_helper

# onnxruntime.training imports torch by this module, without declaring it and without need here.
sys.modules["onnxruntime.training.optim"] = types.ModuleType("optim")
from onnxruntime.training import artifacts  # noqa: E402
from onnxruntime.training.api import CheckpointState, Module  # noqa: E402

data = numpy.load("data.npz")
resumed = Path("trained").exists()
if resumed:
    state = CheckpointState.load_checkpoint("trained")
    losses = [state.properties[f"loss{step}"] for step in range(10)]
else:
    weights = {name: data[name] for name in ("w1", "w2")}
    velocities = {name + "_velocity": numpy.zeros_like(weight) for name, weight in weights.items()}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "w2"], ["output"]),
        ],
        "two_layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 100])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in {**weights, **velocities}.items()],
    )
    artifacts.generate_artifacts(
        helper.make_model(graph),
        requires_grad=list(weights),
        frozen_params=list(velocities),
        loss=artifacts.LossType.MSELoss,
    )
    state = CheckpointState.load_checkpoint("checkpoint")
    losses = []

module = Module("training_model.onnx", state)
parameters = state.parameters
for _ in range(10):
    losses.append(float(module(data["x"], data["y"])))
    for name in ("w1", "w2"):
        velocity = 0.9 * parameters[name + "_velocity"].data + parameters[name].grad
        parameters[name + "_velocity"] = velocity
        parameters[name] = parameters[name].data - 0.1 * velocity
    module.lazy_reset_grad()

if resumed:
    numpy.savez("results.npz", losses=losses, w1=parameters["w1"].data, w2=parameters["w2"].data)
else:
    for step, loss in enumerate(losses):
        state.properties[f"loss{step}"] = loss
    CheckpointState.save_checkpoint(state, "trained")
    subprocess.run([sys.executable, __file__], check=True)
