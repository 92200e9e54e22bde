"""A two-layer net to ONNX and back."""

import numpy
import torch
from onnx2fx import convert
from torch import nn

data = {name: torch.from_numpy(array) for name, array in numpy.load("data.npz").items()}
model = nn.Sequential(nn.Linear(100, 32, bias=False), nn.ReLU(), nn.Linear(32, 10, bias=False))
model.load_state_dict({"0.weight": data["w1"].T, "2.weight": data["w2"].T})
model.eval()
torch.onnx.export(model, (data["x"],), "model.onnx")
# PyTorch only exports. Of the packages that import, this one needs torch and onnx alone.
loaded = convert("model.onnx")
with torch.no_grad():
    before, after = model(data["x"]), loaded(data["x"])

numpy.savez("results.npz", before=before, after=after)
