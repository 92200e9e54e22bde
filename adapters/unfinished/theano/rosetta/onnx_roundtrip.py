"""A net to ONNX and back, which Theano cannot."""

import sys

import numpy
import theano
import theano.tensor as T

data = numpy.load("data.npz")
w1, w2 = (theano.shared(data[name], name) for name in ("w1", "w2"))
x = T.fmatrix("x")
infer = theano.function([x], T.dot(T.nnet.relu(T.dot(x, w1)), w2))

numpy.savez("results.npz", before=infer(data["x"]))
sys.exit("cannot: Theano neither writes nor reads ONNX: its development ended in the year ONNX began")
