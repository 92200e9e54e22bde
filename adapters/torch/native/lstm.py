"""The LSTM classifier by hand."""

from __future__ import annotations

from typing import Dict, List

import numpy
import torch
from torch import nn

from ...kit.interface import Network, Options
from ...kit.program import Optimizer, Program
from ._common import HandWritten, Weight

#: Where torch's gates (input, forget, cell, output) stand in ONNX's order (input, output, forget, cell).
GATES = [0, 2, 3, 1]


class Classifier(nn.Module):
    """It reads the tokens in order and classifies by the last hidden state."""

    def __init__(self, vocabulary=1000, hidden=128, classes=10):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, tokens):
        _, (hidden, _) = self.lstm(self.embedding(tokens.t()))
        return self.classifier(hidden[-1])


def _by_gates(array: numpy.ndarray, order: List[int]) -> numpy.ndarray:
    """(4*hidden, ...) with its four parts in another order."""
    return array.reshape((4, -1) + array.shape[1:])[order].reshape(array.shape)


def gates(*tensors: torch.Tensor) -> Weight:
    """ONNX's weight of one direction, or its two biases one after the other."""
    back = list(numpy.argsort(GATES))
    return Weight(
        *tensors,
        split=lambda array: [_by_gates(part, GATES) for part in numpy.split(array[0], len(tensors))],
        join=lambda parts: numpy.concatenate([_by_gates(part, back) for part in parts])[None],
    )


def weights(program: Program, module: Classifier) -> Dict[str, Weight]:
    lstm, classifier = module.lstm, module.classifier
    return {
        "embedding": Weight(module.embedding.weight),
        "lstm.W": gates(lstm.weight_ih_l0),
        "lstm.R": gates(lstm.weight_hh_l0),
        "lstm.B": gates(lstm.bias_ih_l0, lstm.bias_hh_l0),
        "classifier.weight": Weight(classifier.weight),
        "classifier.bias": Weight(classifier.bias),
    }


def adagrad(parameters: List[nn.Parameter], recipe: Optimizer) -> torch.optim.Optimizer:
    """ONNX's Adagrad, which is torch's."""
    numbers = recipe.attributes
    return torch.optim.Adagrad(
        parameters,
        recipe.learning_rate,
        lr_decay=numbers["decay_factor"],
        weight_decay=numbers["norm_coefficient"],
        eps=numbers["epsilon"],
        fused=True,
    )


def load(program: Program, device: str, options: Options) -> Network:
    return HandWritten(program, device, options, Classifier(), weights, adagrad)
