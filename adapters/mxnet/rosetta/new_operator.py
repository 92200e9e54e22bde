"""A new operator, bent identity, with its own gradient, checked numerically."""

import mxnet as mx
import numpy
from mxnet import autograd, nd
from mxnet.test_utils import check_numeric_gradient, numeric_grad


class BentIdentity(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0]
        self.assign(out_data[0], req[0], (nd.sqrt(x**2 + 1) - 1) / 2 + x)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        x = in_data[0]
        self.assign(in_grad[0], req[0], out_grad[0] * (x / (2 * nd.sqrt(x**2 + 1)) + 1))


@mx.operator.register("bent_identity")
class BentIdentityProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, in_shapes, in_dtypes):
        return BentIdentity()


data = numpy.load("data.npz")
x, v = nd.array(data["x"]), nd.array(data["v"])
x.attach_grad()
with autograd.record():
    y = nd.Custom(x, op_type="bent_identity")
y.backward(v)

weighted = mx.sym.Custom(mx.sym.var("x"), op_type="bent_identity") * mx.sym.var("v")
check_numeric_gradient(weighted, [x, v])
executor = weighted.bind(mx.cpu(), [x, v])
numeric = numeric_grad(executor, {"x": data["x"]})["x"]
numpy.savez("results.npz", y=y.asnumpy(), gradient=x.grad.asnumpy(), numeric=numeric)
