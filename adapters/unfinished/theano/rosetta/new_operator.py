"""A new operator, bent identity, with its own gradient, checked numerically."""

import numpy
import theano
import theano.tensor as T


class BentIdentity(theano.Op):
    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return theano.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        (x,) = inputs
        output_storage[0][0] = (numpy.sqrt(x**2 + 1) - 1) / 2 + x

    def grad(self, inputs, output_grads):
        (x,) = inputs
        return [output_grads[0] * (x / (2 * T.sqrt(x**2 + 1)) + 1)]


data = numpy.load("data.npz")
bent_identity = BentIdentity()
theano.gradient.verify_grad(bent_identity, [data["x"].astype("float64")], rng=numpy.random.RandomState(0))

x, v = T.fvector("x"), T.fvector("v")
y = bent_identity(x)
total = T.sum(y * v)
evaluate = theano.function([x, v], [y, T.grad(total, x)])
outputs, gradient = evaluate(data["x"], data["v"])

wide = theano.function([x, v], total, allow_input_downcast=False)
numeric = theano.gradient.numeric_grad(lambda point: wide(point, data["v"]), data["x"]).gf
numpy.savez("results.npz", y=outputs, gradient=gradient, numeric=numeric)
