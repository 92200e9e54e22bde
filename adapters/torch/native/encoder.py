"""The transformer encoder by hand: normalised before each sublayer, torch's fused attention."""

from __future__ import annotations

from typing import Dict, List

import torch
import torch.nn.functional as F
from torch import nn

from ...kit.interface import Network, Options
from ...kit.program import Optimizer, Program
from ._common import HandWritten, Weight, transposed


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        y = self.norm(x)
        q, k, v = (self._by_head(project(y)) for project in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))

    def _by_head(self, x):
        """(batch, length, width) -> (batch, heads, length, width / heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Encoder(nn.Module):
    def __init__(self, length=128, vocabulary=1000, width=256, heads=8, layers=4, classes=10):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(length, width))
        self.layers = nn.Sequential()
        for _ in range(layers):
            self.layers.append(Attention(width, heads))
            self.layers.append(FeedForward(width))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens):
        x = self.layers(self.embedding(tokens) + self.position)
        return self.classifier(self.norm(x).mean(1))


def weights(program: Program, module: Encoder) -> Dict[str, Weight]:
    found = {
        "embedding": Weight(module.embedding.weight),
        "position": Weight(module.position),
        "norm.scale": Weight(module.norm.weight),
        "norm.bias": Weight(module.norm.bias),
        "classifier.weight": Weight(module.classifier.weight),
        "classifier.bias": Weight(module.classifier.bias),
    }
    for number, layer in enumerate(module.layers):
        kind = "attention" if isinstance(layer, Attention) else "feed_forward"
        for name, part in layer.named_children():
            name = f"layer{number // 2 + 1}.{kind}.{name}"
            is_norm = isinstance(part, nn.LayerNorm)
            found[f"{name}.{'scale' if is_norm else 'weight'}"] = (Weight if is_norm else transposed)(part.weight)
            if part.bias is not None:
                found[f"{name}.bias"] = Weight(part.bias)
    return found


class Adam(torch.optim.Adam):
    """ONNX's Adam on torch's kernel: at each step torch's formula becomes ONNX's by another rate and another epsilon.

    With b = 1 - beta**(t) for torch's t = T + 1: torch steps by rate / b1 * m / (sqrt(h / b2) + eps), ONNX by
    R' * m / (sqrt(h) + epsilon), where R' corrects by T, not by t, and not at all in the first step.
    """

    def __init__(self, parameters: List[nn.Parameter], recipe: Optimizer):
        numbers = recipe.attributes
        self.rate, self.epsilon = recipe.learning_rate, numbers["epsilon"]
        self.betas, self.made = (numbers["alpha"], numbers["beta"]), recipe.step
        super().__init__(parameters, self.rate, self.betas, weight_decay=numbers["norm_coefficient"], fused=True)

    def step(self, closure=None):
        (group,) = self.param_groups
        rate = self.rate * self._correction(self.made) if self.made else self.rate
        self.made += 1
        group["lr"] = rate / self._correction(self.made)
        group["eps"] = self.epsilon / (1 - self.betas[1] ** self.made) ** 0.5
        return super().step(closure)

    def _correction(self, steps: int) -> float:
        first, second = self.betas
        return (1 - second**steps) ** 0.5 / (1 - first**steps)


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, Encoder(), weights, Adam)
