"""What the hand-written networks have in common: a hybridized Gluon block, its weights by name, and a training step."""

from __future__ import annotations

import json

import mxnet
import numpy
from mxnet import autograd, nd
from mxnet.gluon import nn

from ...kit.interface import Network, Unsupported
from ..executor import Bound, empty
from ..pins import check
from ._optimizers import optimizer

# Gluon's layers are written for MXNet's older shapes, in which 0 is an extent that is not known yet.
mxnet.util.set_np_shape(0)

#: A cached operator with memory that is planned once, for shapes that do not change.
STATIC = {"static_alloc": True, "static_shape": True}


class Kept:
    """How one of the Program's weights lies in a Parameter: as it is, or in another order, or in a part of it.

    to_mxnet, to_onnx: from the Program's array to the Parameter's and back, up to their shapes.
    """

    def __init__(self, parameter, to_mxnet=None, to_onnx=None, at=slice(None)):
        self.parameter = parameter
        self._to_mxnet, self._to_onnx, self._at = to_mxnet, to_onnx, at

    def put(self, array):
        data = self.parameter.data()
        array = self._to_mxnet(array) if self._to_mxnet else array
        data[self._at] = numpy.reshape(array, data[self._at].shape)

    def get(self, array, shape):
        """The Program's array, from the Parameter's data or gradient."""
        array = array[self._at].asnumpy()
        return (self._to_onnx(array) if self._to_onnx else array).reshape(shape)


class WithLoss(nn.HybridBlock):
    """A classifier and its mean cross-entropy in one graph: (data, label) -> (1,).

    Gluon's SoftmaxCrossEntropyLoss takes more operators for it, to be ready for weights and other axes.
    """

    def __init__(self, body):
        super().__init__()
        self.body = body

    def hybrid_forward(self, F, data, label):
        return -F.mean(F.pick(F.log_softmax(self.body(data)), label))


class GluonNetwork(Network):
    """A Gluon block as a Network of the kit.

    body: the block, from the Program's first input to its output. weights: {initializer: Kept}, all of them.
    fused: whether MXNet's MKL-DNN backend fuses operators for inference, where that is faster. bound: whether inference
    is by a symbolic executor, as recurrent layers want it (see executor.py).
    """

    def __init__(self, program, device, options, body, weights, fused=False, bound=False):
        check(device, options)
        if device == "cuda" and not options.cudnn:
            raise Unsupported("Gluon's layers cannot be told to leave cuDNN alone")
        self._program, self._weights = program, weights
        self._context = mxnet.gpu(0) if device == "cuda" else mxnet.cpu()
        body.initialize(mxnet.init.Zero(), ctx=self._context)
        for name, kept in weights.items():
            kept.put(program.weights[name])
        self._block = WithLoss(body) if program.training else body
        self._fused = fused and device == "cpu" and not program.training
        if bound and not program.training:
            inputs = empty(program.inputs, self._context)
            parameters = {parameter.name: parameter.data() for parameter in body.collect_params().values()}
            symbol = body(*[mxnet.sym.var(name) for name in inputs])
            self._block = Bound(symbol, self._context, parameters, inputs, list(inputs))
        elif self._fused:
            self._block.optimize_for(*empty(program.inputs, self._context).values(), backend="MKLDNN", **STATIC)
        else:
            self._block.hybridize(**STATIC)
        if program.training:
            trained = list(dict.fromkeys(weights[name].parameter for name in program.training.parameters))
            gradients = [parameter.grad() for parameter in trained]
            self._optimizer = optimizer(program.training.optimizer, [p.data() for p in trained], gradients)
        self.synchronize()

    def stage(self, arrays):
        return [nd.array(arrays[t.name], self._context, dtype=t.dtype) for t in self._program.inputs]

    def infer(self, staged):
        return self._block(*staged)

    def fetch(self, outputs):
        return {self._program.outputs[0].name: outputs.asnumpy()}

    def synchronize(self):
        nd.waitall()

    def train_step(self, staged):
        with autograd.record():
            loss = self._block(*staged)
        loss.backward()
        self._optimizer.update()
        return loss

    def loss(self, value):
        return float(value.asscalar())

    def gradients(self, staged):
        training = self._program.training
        statistics = {name: self._read(name) for name in training.updates}
        with autograd.record():
            loss = self._block(*staged)
        loss.backward()
        for name, array in statistics.items():
            self._weights[name].put(array)
        return {name: self._read(name, gradient=True) for name in training.parameters}

    def parameters(self):
        training = self._program.training
        return {name: self._read(name) for name in (*training.parameters, *training.updates)}

    def _read(self, name, gradient=False):
        kept = self._weights[name]
        array = kept.parameter.grad() if gradient else kept.parameter.data()
        return kept.get(array, self._program.tensors[name].shape)

    def set_parameters(self, arrays):
        for name, array in arrays.items():
            self._weights[name].put(array)
        self._optimizer.reset()

    def describe(self):
        """operators: of the forward pass, once it has run."""
        on_cpu = self._context.device_type == "cpu"
        if isinstance(self._block, Bound):
            graph, symbol = "Executor", self._block.symbol
        else:
            graph, symbol = "CachedOp", self._block._cached_graph[1] if self._block._cached_graph else None
        nodes = None if symbol is None else json.loads(symbol.tojson())["nodes"]
        return {
            "graph": graph + (", MKLDNN subgraphs" if self._fused else ""),
            "layout": "blocked" if on_cpu and mxnet.runtime.Features().is_enabled("MKLDNN") else "NCHW",
            "operators": nodes and sum(node["op"] != "null" for node in nodes),
        }

    def close(self):
        self.synchronize()
        self.__dict__.clear()
