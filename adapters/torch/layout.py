"""Where images and convolution weights lie in memory channels last; their axes keep ONNX's order all the same.

torch's convolutions work in the layout of their operands, and everything after them follows. oneDNN on a CPU and the
tensor cores of a GPU want channels last; the float32 units of a GPU want channels first. Chosen for a whole network.
"""

from __future__ import annotations

from typing import Set

import torch

from ..kit.interface import Options
from ..kit.program import Node, Program

#: What to keep channels first on a CPU.
# workaround: torch's CPU kernels sum these up one number after the other in float32 if channels come last, which loses
# 1e-3 over 100,000 of them.
_INEXACT = {"GroupNormalization", "GlobalLpPool", "LpNormalization", "ReduceL1", "ReduceL2"}


#: In training on a CPU, oneDNN gains nothing by it with fewer channels (LeNet-5, with 16, is 3 % slower).
_WORTHWHILE = 32


def _is_inexact(node: Node) -> bool:
    return node.op in _INEXACT or (node.op == "BatchNormalization" and bool(node.attributes.get("training_mode")))


def _most_channels(program: Program) -> int:
    """Channels that the widest convolution makes."""
    return max((program.tensors[node.inputs[1]].shape[0] for node in program.nodes if node.op == "Conv"), default=0)


def channels_last(program: Program, device: torch.device, options: Options) -> Set[str]:
    """The inputs and initializers to keep channels last: those that only 2-D convolutions take, or none."""
    if device.type == "cuda" and options.precision == "fp32":
        return set()
    if device.type == "cpu" and any(_is_inexact(node) for node in program.nodes):
        return set()
    if device.type == "cpu" and program.training and _most_channels(program) < _WORTHWHILE:
        return set()
    candidates, others = set(), set()
    for node in program.nodes:
        is_convolution = node.op == "Conv" and not node.domain and len(program.tensors[node.inputs[0]].shape) == 4
        candidates.update(node.inputs[:2] if is_convolution else ())
        others.update(node.inputs[2:] if is_convolution else node.inputs)
        others.update(node.operands.values())
    given = {tensor.name for tensor in program.inputs + program.initializers}
    return (candidates - others) & given
