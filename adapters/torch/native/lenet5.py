"""LeNet-5 by hand."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import HandWritten, direct, sgd


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.classifier = nn.Linear(84, 10)

    def forward(self, image):
        x = F.max_pool2d(F.relu_(self.conv1(image)), 2)
        x = F.max_pool2d(F.relu_(self.conv2(x)), 2)
        x = F.relu_(self.fc1(x.flatten(1)))
        x = F.relu_(self.fc2(x))
        return self.classifier(x)


def load(program: Program, device: str, options: Options) -> Network:
    # With so few channels, oneDNN's backward pass is faster channels first.
    return HandWritten(program, device, options, LeNet5(), direct, sgd, channels_last=program.training is None)
