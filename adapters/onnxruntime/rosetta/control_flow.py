"""Training through a loop whose length is data. ONNX Runtime differentiates no Loop: the way back is another."""

import numpy
import onnxruntime
from onnxscript import FLOAT, INT64, script
from onnxscript import opset18 as op


@script()
def step(x: FLOAT[1, 8], target: FLOAT[1, 8], length: INT64, w: FLOAT[8, 8]):
    h = op.Identity(x)
    states = op.SequenceConstruct(x)
    for _ in range(length):
        h = op.Tanh(h @ w)
        states = op.SequenceInsert(states, h)
    error = h - target
    loss = op.ReduceMean(error * error)
    slope = error * 2.0 / 8.0
    gradient = w * 0.0
    for i in range(length):
        after = op.SequenceAt(states, length - i)
        before = op.SequenceAt(states, length - i - 1)
        inner = slope * (1.0 - after * after)
        gradient = gradient + op.Transpose(before) @ inner
        slope = inner @ op.Transpose(w)
    new_w = w - 0.1 * gradient
    return loss, new_w


data = numpy.load("data.npz")
w = data["w"]
session = onnxruntime.InferenceSession(step.to_model_proto().SerializeToString())
losses = []
for x, target, length in zip(data["x"], data["target"], data["lengths"]):
    loss, w = session.run(None, {"x": x[None], "target": target[None], "length": numpy.array(length), "w": w})
    losses.append(loss.item())

numpy.savez("results.npz", losses=losses, w=w)
