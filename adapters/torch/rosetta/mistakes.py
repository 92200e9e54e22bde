"""Twenty mistakes in PyTorch. Each function is one; the faulty line is marked."""

import os

import numpy
import torch
from torch import nn

CANNOT = {}


class _Sum(nn.Module):
    def forward(self, left, right):
        return left + right


class _Named(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(13, outputs)

    def forward(self, x):
        return self.layer(x)


class _FrontAndBack(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Linear(13, 7)
        self.back = nn.Linear(7, 3)

    def forward(self, x):
        return self.back(torch.relu(self.front(x)))


def wrong_input_shape():
    net = nn.Linear(13, 7)
    yield
    net(torch.zeros(5, 17))  # planted


def label_out_of_range():
    net = nn.Linear(13, 11)
    loss_fn = nn.CrossEntropyLoss()
    yield
    loss_fn(net(torch.zeros(5, 13)), torch.tensor([3, 1, 4, 23, 5]))  # planted


def float64_input():
    net = nn.Linear(13, 7)
    yield
    net(torch.from_numpy(numpy.zeros((5, 13))))  # planted


def missing_input():
    net = _Sum()
    yield
    net(torch.zeros(5, 13))  # planted


def mismatched_matmul():
    w1, w2 = torch.zeros(13, 7), torch.zeros(11, 3)

    def net(x):
        return x @ w1 @ w2  # planted

    yield
    net(torch.zeros(5, 13))


def forgotten_parameter():
    net = _FrontAndBack()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(net.back.parameters(), lr=0.1)  # planted
    yield
    for _ in range(3):
        loss = loss_fn(net(torch.ones(5, 13)), torch.ones(5, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def nan_loss():
    net = nn.Linear(13, 7)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    yield
    for _ in range(3):
        loss = torch.log(torch.relu(net(torch.ones(5, 13))) * 0).mean()  # planted
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def wrong_layout():
    net = nn.Conv2d(3, 8, kernel_size=3)
    yield
    net(torch.zeros(1, 19, 19, 3))  # planted


def out_of_memory():
    net = nn.Linear(13, 7)
    yield
    net(torch.zeros(8000000000003, 13))  # planted


def wrong_device():
    net = nn.Linear(13, 7).to("cuda:63")  # planted
    yield
    net(torch.zeros(5, 13, device="cuda:63"))


def corrupt_checkpoint():
    torch.save(nn.Linear(130, 70).state_dict(), "weights.pt")
    os.truncate("weights.pt", os.path.getsize("weights.pt") // 2)
    net = nn.Linear(130, 70)
    net.load_state_dict(torch.load("weights.pt"))  # planted
    yield
    net(torch.zeros(5, 130))


def other_checkpoint():
    torch.save(_Named(7).state_dict(), "weights.pt")
    net = _Named(9)
    net.load_state_dict(torch.load("weights.pt"))  # planted
    yield
    net(torch.zeros(5, 13))


def misspelt_option():
    net = nn.Conv2d(3, 8, kernel_size=3, strdie=2)  # planted
    yield
    net(torch.zeros(1, 3, 19, 19))


def integer_input():
    net = nn.Linear(13, 7)
    yield
    net(torch.zeros(5, 13, dtype=torch.int64))  # planted


def broadcast_target():
    net = nn.Linear(13, 1)
    loss_fn = nn.MSELoss()
    yield
    loss_fn(net(torch.zeros(5, 13)), torch.zeros(5))  # planted


def index_out_of_range():
    net = nn.Embedding(29, 5)
    yield
    net(torch.tensor([31]))  # planted


def detached_loss():
    net = nn.Linear(13, 7)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    yield
    x = torch.ones(5, 13)
    net(x)
    loss = x.square().mean()  # planted
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def training_mode():
    net = nn.Sequential(nn.Linear(13, 7), nn.Dropout(0.5), nn.Linear(7, 3))
    net.train()
    yield
    with torch.no_grad():
        net(torch.ones(5, 13))  # planted


def double_softmax():
    net = nn.Sequential(nn.Linear(13, 7), nn.Softmax(dim=1))
    loss_fn = nn.CrossEntropyLoss()  # planted
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    yield
    loss = loss_fn(net(torch.ones(5, 13)), torch.tensor([3, 1, 4, 1, 5]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def kernel_too_large():
    net = nn.Conv2d(3, 8, kernel_size=9)
    yield
    net(torch.zeros(1, 3, 5, 5))  # planted
