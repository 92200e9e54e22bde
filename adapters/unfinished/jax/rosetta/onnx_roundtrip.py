"""A two-layer net to ONNX and back."""

import jax
import numpy
import onnx
from jax2onnx import to_onnx
from jaxonnxruntime.call_onnx import call_onnx_model

data = numpy.load("data.npz")
x, w1, w2 = (data[name] for name in ("x", "w1", "w2"))


@jax.jit
def net(x):
    return jax.nn.relu(x @ w1) @ w2


# JAX exports StableHLO only; of the packages beside it, one writes ONNX and another reads it.
to_onnx(net, [x.shape], return_mode="file", output_path="model.onnx")
model = onnx.load("model.onnx")
inputs = {model.graph.input[0].name: x}
loaded, weights = call_onnx_model(model, inputs)
(after,) = loaded(weights, inputs)

numpy.savez("results.npz", before=net(x), after=after)
