"""ResNet-18 by hand, as torchvision's: BatchNorm2d after each convolution, folded into it before inference."""

from __future__ import annotations

from collections import OrderedDict
from typing import Dict

import numpy
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, Weight, sgd

#: How many times smaller than the image each stage's own images are, a side.
SHRINKAGE = {"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}


class ConvNorm(nn.Module):
    """A convolution without bias, then BatchNorm2d; one convolution with bias once `fold` is called."""

    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(self.conv(x))

    def fold(self):
        return fuse_conv_bn_eval(self.conv, self.norm)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs, 3, stride)
        self.conv2 = ConvNorm(outputs, outputs, 3, 1)
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None

    def forward(self, x):
        y = self.conv2(F.relu_(self.conv1(x)))
        y += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(y)


def stage(inputs, outputs, stride):
    blocks = {"block1": BasicBlock(inputs, outputs, stride), "block2": BasicBlock(outputs, outputs, 1)}
    return nn.Sequential(OrderedDict(blocks))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 64, 7, 2)
        self.stage1 = stage(64, 64, 1)
        self.stage2 = stage(64, 128, 2)
        self.stage3 = stage(128, 256, 2)
        self.stage4 = stage(256, 512, 2)
        self.classifier = nn.Linear(512, 1000)

    def forward(self, image):
        x = F.max_pool2d(F.relu_(self.stem(image)), 3, 2, 1)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def fold(module: nn.Module) -> None:
    """Replace every ConvNorm inside by the one convolution that it amounts to."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, child.fold())
        else:
            fold(child)


def weights(program: Program, module: ResNet18) -> Dict[str, Weight]:
    found = {"classifier.weight": Weight(module.classifier.weight), "classifier.bias": Weight(module.classifier.bias)}
    batch, _, height, width = program.inputs[0].shape
    for name, layer in module.named_modules():
        if isinstance(layer, ConvNorm):
            shrinkage = SHRINKAGE[name.split(".")[0]]
            count = batch * (height // shrinkage) * (width // shrinkage)
            found[f"{name}.weight"] = Weight(layer.conv.weight)
            found[f"{name}.norm.scale"] = Weight(layer.norm.weight)
            found[f"{name}.norm.bias"] = Weight(layer.norm.bias)
            found[f"{name}.norm.mean"] = Weight(layer.norm.running_mean)
            found[f"{name}.norm.variance"] = variance(layer.norm, count / (count - 1) if program.training else 1.0)
    return found


def variance(norm: nn.BatchNorm2d, factor: float) -> Weight:
    """ONNX keeps the variance of the n values themselves, torch n / (n - 1) times that: training needs this factor."""
    return Weight(
        norm.running_var,
        split=lambda array: [(array * factor).astype(numpy.float32)],
        join=lambda parts: (parts[0] / factor).astype(numpy.float32),
    )


def load(program: Program, device: str, options: Options) -> Network:
    # On a CPU, BatchNorm2d sums its statistics up inexactly if channels come last: they would fail the gate.
    channels_last = device != "cpu" or program.training is None
    return HandWritten(program, device, options, ResNet18(), weights, sgd, fold, channels_last)
