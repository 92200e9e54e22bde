"""What a torch call would return, in shape and element type, with as little work as can be.

A likeness is a tensor of the right shape and type on the CPU in which one zero is repeated, so that it takes no
memory. The expensive calls have rules here; all others are made, on likenesses. A rule that were wrong could not go
unnoticed: the lowering compares every node's result with what ONNX says.
"""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict

import numpy
import torch
import torch.nn.functional as F
from torch.fx.node import map_aggregate


def likeness(tensor: torch.Tensor) -> torch.Tensor:
    return repeated(tensor.shape, tensor.dtype)


def repeated(shape, dtype: torch.dtype, value: int = 0) -> torch.Tensor:
    return torch.full((), value, dtype=torch.float32, device="cpu").to(dtype).expand(tuple(shape))


# workaround: torch's own meta device, which does this, imports its compiler and sympy: seconds of every cold start, and
# memory.
def result_of(target: Any, args: tuple, kwargs: Dict[str, Any]) -> Any:
    """The likeness of target(*args, **kwargs); a method's target is its name. Tensors in args are likenesses."""
    with torch.no_grad(), torch.device("cpu"):
        rule = _RULES.get(target)
        result = rule(target, *args, **kwargs) if rule else NotImplemented
        if result is NotImplemented:
            result = _make(target, args, kwargs)
    return map_aggregate(result, lambda part: likeness(part) if isinstance(part, torch.Tensor) else part)


def _make(target: Any, args: tuple, kwargs: Dict[str, Any]) -> Any:
    function = getattr(torch.Tensor, target) if isinstance(target, str) else target
    try:
        return function(*args, **kwargs)
    except (RuntimeError, ZeroDivisionError):
        # Zeros cannot be divided by.
        ones = map_aggregate(args, lambda a: repeated(a.shape, a.dtype, 1) if isinstance(a, torch.Tensor) else a)
        return function(*ones, **kwargs)


# Rules take the call's target and its arguments; NotImplemented: the call has to be made.


def _like_first(target, x, *args, **kwargs):
    return x


def _elementwise(target, *args, **kwargs):
    """The call is made on the first element of each tensor."""
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    if not all(tensor.numel() for tensor in tensors):
        return NotImplemented
    first = [a[(slice(0, 1),) * a.ndim] if isinstance(a, torch.Tensor) else a for a in args]
    return _make(target, tuple(first), kwargs).expand(numpy.broadcast_shapes(*[tensor.shape for tensor in tensors]))


def _each(value, count):
    return [value] * count if isinstance(value, int) else value


def _convolution(target, x, w, b, stride, padding, dilation=1, groups=1):
    rank = x.ndim - 2
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(
            x.shape[2:], w.shape[2:], _each(stride, rank), _each(padding, rank), _each(dilation, rank)
        )
    ]
    return repeated([x.shape[0], w.shape[0]] + sizes, x.dtype)


def _transposed_convolution(target, x, w, b, stride, padding, output_padding, groups, dilation):
    rank = x.ndim - 2
    sizes = [
        (n - 1) * s - 2 * p + d * (k - 1) + o + 1
        for n, k, s, p, o, d in zip(
            x.shape[2:], w.shape[2:], stride, _each(padding, rank), _each(output_padding, rank), dilation
        )
    ]
    return repeated([x.shape[0], w.shape[1] * groups] + sizes, x.dtype)


def _one_plane(target, x, *args, **kwargs):
    """The call is made on one image of one channel."""
    if not x.shape[0] or not x.shape[1]:
        return NotImplemented
    planes = tuple(x.shape[:2])
    result = target(x[:1, :1], *args, **kwargs)
    return map_aggregate(result, lambda plane: plane.expand(planes + tuple(plane.shape[2:])))


def _linear(target, x, w, b=None):
    return repeated(tuple(x.shape[:-1]) + (w.shape[0],), x.dtype)


def _addmm(target, c, a, b, **kwargs):
    return repeated((a.shape[0], b.shape[1]), a.dtype)


def _matmul(target, a, b):
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        return NotImplemented
    return repeated(numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + (a.shape[-2], b.shape[-1]), a.dtype)


def _embedding(target, indices, table, **kwargs):
    return repeated(tuple(indices.shape) + (table.shape[1],), table.dtype)


def _attention(target, q, k, v, **kwargs):
    return repeated(tuple(q.shape[:-1]) + (v.shape[-1],), q.dtype)


def _recurrent(target, x, state, weights, biases, layers, dropout, train, bidirectional, batch_first):
    states = state if isinstance(state, tuple) else (state,)
    directions, _, hidden = states[0].shape
    return (repeated((x.shape[0], x.shape[1], directions * hidden), x.dtype),) + states


def _to(target, x, dtype):
    return repeated(x.shape, dtype)


def _rules() -> Dict[Any, Callable]:
    groups = {
        _like_first: [
            F.batch_norm, torch.batch_norm, torch.instance_norm, F.group_norm, F.layer_norm, F.rms_norm, F.hardtanh,
            F.gelu, F.leaky_relu, F.silu, torch.relu, torch.softmax, torch.log_softmax,
        ],
        _elementwise: [
            operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.gt, torch.sigmoid,
            torch.tanh, torch.exp, torch.sqrt, torch.pow, torch.erf, torch.clamp, torch.where, torch.div,
            torch.remainder,
        ],
        _convolution: [torch.conv1d, torch.conv2d, torch.conv3d],
        _transposed_convolution: [torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d],
        _one_plane: [
            torch.max_pool1d, torch.max_pool2d, torch.max_pool3d, F.max_pool1d_with_indices,
            F.max_pool2d_with_indices, F.max_pool3d_with_indices, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
        ],
        _linear: [F.linear],
        _addmm: [torch.addmm],
        _matmul: [torch.matmul, torch.mm],
        _embedding: [F.embedding],
        _attention: [F.scaled_dot_product_attention],
        _recurrent: [torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu],
        _to: ["to"],
    }  # fmt: skip
    return {target: rule for rule, targets in groups.items() for target in targets}


_RULES = _rules()
