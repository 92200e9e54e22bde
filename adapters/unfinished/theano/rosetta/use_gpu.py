"""Inference on the GPU if there is one: Theano moves what it compiles there by itself where its flags name it."""

import os

# The flags are read when Theano is imported; where there is no GPU, or no pygpu, it says so and uses the CPU.
os.environ.setdefault("THEANO_FLAGS", "device=cuda,floatX=float32")

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
w1, w2 = (theano.shared(data[name], name) for name in ("w1", "w2"))
x = T.fmatrix("x")
infer = theano.function([x], T.dot(T.nnet.relu(T.dot(x, w1)), w2))
outputs = infer(data["x"])

device = "cuda" if any(type(node.op).__name__.startswith("Gpu") for node in infer.maker.fgraph.toposort()) else "cpu"
numpy.savez("results.npz", outputs=outputs, device=device)
