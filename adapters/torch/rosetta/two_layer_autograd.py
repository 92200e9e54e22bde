"""A two-layer net trained by automatic differentiation."""

import numpy
import torch
import torch.nn.functional as F

data = numpy.load("data.npz")
x, y, w1, w2 = (torch.from_numpy(data[name]) for name in ("x", "y", "w1", "w2"))
optimizer = torch.optim.SGD([w1.requires_grad_(), w2.requires_grad_()], lr=0.5)
losses = []
for _ in range(30):
    loss = F.mse_loss(torch.relu(x @ w1) @ w2, y)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

numpy.savez("results.npz", losses=losses, w1=w1.detach(), w2=w2.detach())
