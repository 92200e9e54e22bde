"""BatchNormalization folded into the convolution before it, by torch's own function for that, where both only infer."""

from __future__ import annotations

import inspect
from typing import Any, List

import torch
import torch.nn.functional as F
from torch import fx
from torch.nn.utils.fusion import fuse_conv_bn_weights

_BATCH_NORM = inspect.signature(F.batch_norm)
_CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}


def fold(module: fx.GraphModule) -> None:
    """Replace such pairs by the one convolution. Its constants have to be all known, and nothing else to read it."""
    for node in list(module.graph.nodes):
        if node.target is not F.batch_norm:
            continue
        norm = _BATCH_NORM.bind(*node.args, **node.kwargs).arguments
        convolution = norm["input"]
        if norm["training"] or convolution.target not in _CONVOLUTIONS or len(convolution.users) != 1:
            continue
        x, w, b, *window = convolution.args
        operands = w, b, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"]
        if not all(operand is None or _is_constant(operand) for operand in operands):
            continue
        tensors = [None if operand is None else getattr(module, operand.target) for operand in operands]
        weights = [weight.to(tensors[0].dtype) for weight in _folded(*tensors, norm["eps"])]
        with module.graph.inserting_before(node):
            kept = [_keep(module, f"folded_{node.name}_{i}", weight) for i, weight in enumerate(weights)]
            folded = module.graph.call_function(convolution.target, (x, *kept, *window))
        folded.meta = dict(node.meta)
        node.replace_all_uses_with(folded)
        module.graph.erase_node(node)
        module.graph.erase_node(convolution)
    module.graph.eliminate_dead_code()
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in module.named_buffers() if name not in read]:
        delattr(module, name)
    module.recompile()


def _folded(w, b, mean, variance, scale, bias, epsilon) -> List[torch.Tensor]:
    """Weight and bias of the one convolution. Of less exact types than float32 the products are float32's."""
    wide = torch.promote_types(w.dtype, torch.float32)
    w, b, mean, variance, scale, bias = (None if t is None else t.to(wide) for t in (w, b, mean, variance, scale, bias))
    folded = fuse_conv_bn_weights(w, b, mean, variance, epsilon, scale, bias)
    return [parameter.detach() for parameter in folded]


def _is_constant(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.op == "get_attr"


def _keep(module: fx.GraphModule, name: str, tensor: torch.Tensor) -> fx.Node:
    module.register_buffer(name, tensor)
    return module.graph.get_attr(name)
