"""The net on the GPU if there is one: ONNX Runtime takes the first execution provider that it has."""

import numpy
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
providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
session = onnxruntime.InferenceSession(helper.make_model(graph).SerializeToString(), providers=providers)
(outputs,) = session.run(None, {"x": data["x"]})
numpy.savez("results.npz", outputs=outputs, device=session.get_providers()[0])
