"""MXNet symbols that know their shape and element type, and MXNet's operators by their registered names."""

from __future__ import annotations

import ctypes
import itertools

import mxnet
import numpy
from mxnet.base import _LIB, MXNetError, c_str, check_call

# Without this MXNet reads an extent of 0 as "unknown" and has no tensors of rank 0. 2: in every thread.
mxnet.util.set_np_shape(2)

#: The element types that MXNet has.
TYPES = ("float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool")

#: Operators that use cuDNN on a CUDA device unless they are told not to.
CUDNN_SWITCH = ("BatchNorm", "Convolution", "Deconvolution", "Dropout", "Pooling")

#: Arrays behind the variables that `constant` made, until `take_constants` collects them.
_constants = {}
_numbers = itertools.count()


class Value:
    """A symbol with what a symbol does not know: its shape and element type.

    array: the numbers, where they are the same in every run, else None.
    stored: the same weight in the form in which MXNet's fused operators want it, or None (see storage.py).
    packed: the vector in which it lies packed with its layer's other weights, or None (see storage.py).
    swapped: the same tensor with its first two axes exchanged, or None (see attention.py).
    running: whether it is a running statistic that BatchNorm itself may update, once per training step.
    linear: (data, weight) where it is FullyConnected without a bias and used only once, else None.
    product: (left, right) where it is a product of matrices and used only once, else None.
    fixed: whether the network trains, but nothing that depends on a parameter is in this.
    masked: whether the network trains, and may hold rows of nothing but -inf here, by a mask.
    """

    __slots__ = ("symbol", "shape", "dtype", "array", "stored", "packed", "running", "fixed")
    __slots__ += ("linear", "product", "swapped", "masked")

    def __init__(self, symbol, shape, dtype, array=None, stored=None, packed=None, running=False, fixed=False):
        self.symbol = symbol
        self.shape = tuple(shape)
        self.dtype = dtype
        self.array = array
        self.stored = stored
        self.packed = packed
        self.running = running
        self.fixed = fixed
        self.linear = None
        self.product = None
        self.swapped = None
        self.masked = False

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return int(numpy.prod(self.shape, dtype=numpy.int64))

    @property
    def floating(self):
        return self.dtype.startswith("float")


def variable(name, shape, dtype, **facts):
    """A symbol that is fed from outside: an input, a weight or a constant."""
    return Value(mxnet.sym.Variable(name), shape, dtype, **facts)


def constant(array):
    """Numbers that an operator function brings along, as a variable; `take_constants` hands them to the network."""
    array = numpy.asarray(array)
    name = "constant:%d" % next(_numbers)
    _constants[name] = array
    return variable(name, array.shape, array.dtype.name, array=array, fixed=F.training)


def take_constants(names):
    """The arrays of those of the named variables that are constants, by name. Constants made so far are forgotten."""
    taken = {name: _constants[name] for name in names if name in _constants}
    _constants.clear()
    return taken


class _Operators:
    """`F.Convolution(x, w, kernel=(3, 3), ...)`: any operator that MXNet registers, on Values.

    A name that MXNet does not register raises AttributeError. An operator with several visible outputs
    returns a list of Values. Set by the adapter: without_cudnn tells operators that can to leave cuDNN alone,
    training says whether the network at hand trains.
    """

    without_cudnn = False
    training = False

    def __getattr__(self, name):
        handle = ctypes.c_void_p()
        try:
            check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
        except MXNetError:
            raise AttributeError(name) from None

        def call(*inputs, **attributes):
            if self.without_cudnn and name in CUDNN_SWITCH:
                attributes["cudnn_off"] = True
            return _compose(name, handle.value, inputs, attributes)

        setattr(self, name, call)
        return call


F = _Operators()


def _compose(name, handle, inputs, attributes):
    symbol = _create(name, handle, [value.symbol for value in inputs], attributes)
    probe_names = ["in%d" % i for i in range(len(inputs))]
    probe = _create(name, handle, [mxnet.sym.Variable(n) for n in probe_names], attributes)
    _, shapes, _ = probe.infer_shape(**{n: v.shape for n, v in zip(probe_names, inputs)})
    _, types, _ = probe.infer_type(**{n: numpy.dtype(v.dtype).type for n, v in zip(probe_names, inputs)})
    dtypes = [numpy.dtype(kind).name for kind in types]
    fixed = F.training and all(value.fixed for value in inputs)
    if len(shapes) == 1:
        return Value(symbol, shapes[0], dtypes[0], fixed=fixed)
    return [Value(symbol[i], shape, dtype, fixed=fixed) for i, (shape, dtype) in enumerate(zip(shapes, dtypes))]


def _create(name, handle, symbols, attributes):
    return mxnet.sym._internal._symbol_creator(
        handle,
        symbols,
        {},
        list(attributes),
        list(attributes.values()),
        "%s:%d" % (name.lower(), next(_numbers)),
        False,
    )
