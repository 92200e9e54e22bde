"""MXNet's symbolic executor, for inference with recurrent layers."""

from __future__ import annotations

import json

import mxnet


# workaround: a static CachedOp of MXNet 1.9 never sets whether gradients are needed (OpContext's need_grad), which RNN
# reads; by what lay in memory before, inference then runs MKL-DNN's forward pass for training, a third slower, or does
# not, and the executor sets it
class Bound:
    """A symbol bound to its arguments, called as a CachedOp is."""

    def __init__(self, symbol, context, weights, inputs, order):
        """weights: {name: array}. inputs: {name: array}, which the executor keeps to itself. order: the names of what
        it is called with; weights among these are those that are bound."""
        self.symbol = symbol
        self._inputs = [(order.index(name), array) for name, array in inputs.items() if name in order]
        self._given = [None] * len(self._inputs)
        arrays = dict(weights, **inputs)
        self._executor = symbol.bind(
            context,
            {name: arrays[name] for name in symbol.list_arguments()},
            grad_req="null",
            aux_states={name: arrays[name] for name in symbol.list_auxiliary_states()},
        )

    def __call__(self, *arguments):
        """The symbol's outputs, a list where there are several. Staged inputs never change: they are copied once."""
        for i, (place, array) in enumerate(self._inputs):
            if arguments[place] is not self._given[i]:
                self._given[i] = arguments[place]
                arguments[place].copyto(array)
        outputs = self._executor.forward(is_train=False)
        return outputs[0] if len(outputs) == 1 else outputs


def is_recurrent(symbol):
    """Whether MXNet's RNN operator is in a symbol."""
    return any(node["op"] == "RNN" for node in json.loads(symbol.tojson())["nodes"])


def empty(tensors, context):
    """{name: array} for the inputs of a Program."""
    return {tensor.name: mxnet.nd.zeros(tensor.shape, context, dtype=tensor.dtype) for tensor in tensors}
