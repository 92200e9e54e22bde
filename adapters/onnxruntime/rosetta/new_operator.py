"""A new differentiable operator: two functions of ONNX Script, one registered as the other's gradient."""

import numpy
import onnxruntime
from onnxruntime.capi._pybind_state import GradientGraphBuilder, GradientNodeDefinition, register_gradient_definition
from onnxscript import FLOAT, script
from onnxscript import opset18 as op
from onnxscript.values import Opset

custom = Opset("custom", 1)


@script(custom)
def BentIdentity(x):
    return (op.Sqrt(x * x + 1.0) - 1.0) / 2.0 + x


@script(custom)
def BentIdentityGradient(slope, x):
    return slope * (x / (2.0 * op.Sqrt(x * x + 1.0)) + 1.0)


@script()
def net(x: FLOAT[40], v: FLOAT[40]):
    y = BentIdentity(x)
    total = op.ReduceSum(y * v)
    return total, y


gradient_node = GradientNodeDefinition()
gradient_node.domain, gradient_node.op_type = "custom", "BentIdentityGradient"
gradient_node.inputs, gradient_node.outputs, gradient_node.attributes = ["GO(0)", "I(0)"], ["GI(0)"], []
register_gradient_definition("custom::BentIdentity", [gradient_node])

model = net.to_model_proto()
model.functions.append(BentIdentityGradient.to_function_proto())
builder = GradientGraphBuilder(model.SerializeToString(), {"total"}, {"x"}, "total")
builder.build()
session = onnxruntime.InferenceSession(builder.get_model())

data = numpy.load("data.npz")
x, v = data["x"], data["v"]
y, gradient = session.run(["y", "x_grad"], {"x": x, "v": v})


def total(x):
    return session.run(["total"], {"x": x, "v": v})[0].item()


nudges = 0.01 * numpy.eye(40, dtype=numpy.float32)
numeric = [(total(x + nudge) - total(x - nudge)) / 0.02 for nudge in nudges]
numpy.savez("results.npz", y=y, gradient=gradient, numeric=numeric)
