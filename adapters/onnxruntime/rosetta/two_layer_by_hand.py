"""A two-layer net whose gradients and updates are written out, as one graph in ONNX Script."""

import numpy
import onnxruntime
from onnxscript import FLOAT, script
from onnxscript import opset18 as op


@script()
def step(x: FLOAT[64, 100], y: FLOAT[64, 10], w1: FLOAT[100, 32], w2: FLOAT[32, 10]):
    hidden = op.Relu(x @ w1)
    error = hidden @ w2 - y
    loss = op.ReduceMean(error * error)
    slope = error * (2.0 / 640.0)
    slope1 = op.Where(hidden > 0.0, slope @ op.Transpose(w2), 0.0)
    new_w1 = w1 - 0.5 * (op.Transpose(x) @ slope1)
    new_w2 = w2 - 0.5 * (op.Transpose(hidden) @ slope)
    return loss, new_w1, new_w2


data = numpy.load("data.npz")
w1, w2 = data["w1"], data["w2"]
session = onnxruntime.InferenceSession(step.to_model_proto().SerializeToString())
losses = []
for _ in range(30):
    loss, w1, w2 = session.run(None, {"x": data["x"], "y": data["y"], "w1": w1, "w2": w2})
    losses.append(loss.item())

numpy.savez("results.npz", losses=losses, w1=w1, w2=w2)
