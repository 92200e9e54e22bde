"""Twenty mistakes in PyTorch. Each function is one; the faulty line is marked."""

import torch
from torch import nn

CANNOT = {}


def wrong_input_shape():
    net = nn.Linear(13, 7)
    yield
    net(torch.zeros(5, 17))  # planted


def broadcast_target():
    net = nn.Linear(13, 1)
    loss_of = nn.MSELoss()
    yield
    loss_of(net(torch.zeros(5, 13)), torch.zeros(5))  # planted
