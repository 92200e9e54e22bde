"""Activations and sums that write over their input, as hand-written torch does where nothing else reads it.

Only over what a product, a normalisation or a sum has just made: none of them needs its result for its own
backward pass. (Were one of them to, autograd would raise; it never computes on data that has been overwritten.)
"""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx

_MAKERS = {
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
    torch.addmm,
    torch.mm,
    F.linear,
    F.batch_norm,
    operator.add,
}


def overwrite(module: fx.GraphModule) -> None:
    """Replace such calls by their in-place forms."""
    for node in module.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is torch.relu and _is_spare(node.args[0], node):
            node.target = torch.relu_
        elif node.target is F.hardtanh and _is_spare(node.args[0], node):
            node.kwargs = dict(node.kwargs, inplace=True)
        elif node.target is operator.add:
            _add_in_place(node)
    module.recompile()


def _add_in_place(node: fx.Node) -> None:
    for target, other in (node.args, node.args[::-1]):
        if _is_spare(target, node) and isinstance(other, fx.Node):
            node.op, node.target, node.args = "call_method", "add_", (target, other)
            return


def _is_spare(value, user: fx.Node) -> bool:
    """Is this argument a fresh tensor of its user's shape and type, read by that user alone?"""
    if not isinstance(value, fx.Node) or len(value.users) != 1:
        return False
    made = value.target in _MAKERS or (value.op, value.target) == ("call_method", "add_")
    if value.target is F.linear and value.meta["tensor"].ndim != 2:
        # It is a view then, and autograd pays for what is written over a view.
        return False
    mine, result = value.meta.get("tensor"), user.meta.get("tensor")
    same = mine is not None and result is not None and (mine.shape, mine.dtype) == (result.shape, result.dtype)
    # x + x reads its one argument twice.
    return made and same and user.all_input_nodes.count(value) == 1 and user.args.count(value) == 1
