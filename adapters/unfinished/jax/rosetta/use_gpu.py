"""A two-layer net on the GPU if there is one, which is where JAX puts everything by itself."""

import jax
import numpy


@jax.jit
def net(params, x):
    return jax.nn.relu(x @ params["w1"]) @ params["w2"]


data = numpy.load("data.npz")
params = jax.device_put({name: data[name] for name in ("w1", "w2")})
outputs = net(params, data["x"])

numpy.savez("results.npz", outputs=outputs, device=str(outputs.device))
