"""To ONNX and back: a net in ONNX Runtime is an ONNX model, and what is exported is that."""

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

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
model = helper.make_model(graph)
(before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": data["x"]})

onnx.save(model, "model.onnx")
(after,) = onnxruntime.InferenceSession("model.onnx").run(None, {"x": data["x"]})
numpy.savez("results.npz", before=before, after=after)
