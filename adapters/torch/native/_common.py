"""From an nn.Module to a kit Network: weights by name, inference, a training step.

The modules are written as PyTorch's documentation and its own model libraries write them; their weights are the
Program's. Of the Program only weights, the shapes of inputs and the optimizer's numbers are used.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy
import torch
import torch.nn.functional as F
from torch import nn

from ...kit.interface import Network, Options, Unsupported
from ...kit.program import Optimizer, Program
from .. import settings

MakeOptimizer = Callable[[List[nn.Parameter], Optimizer], torch.optim.Optimizer]


class Weight:
    """How a module keeps one array of the Program: in `tensors`, which `split` makes of it and `join` joins."""

    def __init__(
        self,
        *tensors: torch.Tensor,
        split: Callable[[numpy.ndarray], List[numpy.ndarray]] = lambda array: [array],
        join: Callable[[List[numpy.ndarray]], numpy.ndarray] = lambda parts: parts[0],
    ):
        self.tensors, self.split, self.join = tensors, split, join

    def set(self, array: numpy.ndarray) -> None:
        for tensor, part in zip(self.tensors, self.split(array)):
            tensor.copy_(torch.from_numpy(numpy.array(part, order="C")))

    def get(self) -> numpy.ndarray:
        return self.join([_array(tensor) for tensor in self.tensors])

    def gradient(self) -> numpy.ndarray:
        return self.join([_array(tensor.grad) for tensor in self.tensors])


def transposed(tensor: torch.Tensor) -> Weight:
    """A matrix that the Program has as (inputs, outputs) and nn.Linear as (outputs, inputs)."""
    return Weight(tensor, split=lambda array: [array.T], join=lambda parts: parts[0].T)


def direct(program: Program, module: nn.Module) -> Dict[str, Weight]:
    """Every parameter, under the module's own name for it."""
    return {name: Weight(parameter) for name, parameter in module.named_parameters()}


def sgd(parameters: List[nn.Parameter], recipe: Optimizer) -> torch.optim.Optimizer:
    """ONNX's Momentum, which is torch's SGD: the first step's velocity is the gradient in both."""
    numbers = recipe.attributes
    return torch.optim.SGD(
        parameters,
        recipe.learning_rate,
        momentum=numbers["alpha"],
        dampening=1 - numbers["beta"],
        weight_decay=numbers["norm_coefficient"],
        nesterov=numbers["mode"] == "nesterov",
        fused=True,
    )


class HandWritten(Network):
    """A module that maps the inputs to logits, trained by their cross-entropy with the last input, the labels.

    weights: finds those of the module by the Program's names. prepare: what is done to a module that will only infer.
    """

    def __init__(
        self,
        program: Program,
        device: str,
        options: Options,
        module: nn.Module,
        weights: Callable[[Program, nn.Module], Dict[str, Weight]],
        make_optimizer: MakeOptimizer,
        prepare: Callable[[nn.Module], None] = lambda module: None,
        channels_last: bool = False,
    ):
        settings.check(device, options)
        if options.precision not in ("fp32", "tf32"):
            raise Unsupported(f"the hand-written networks compute in float32, not in {options.precision}")
        settings.use(options)
        self.device, self.options, self.training = torch.device(device), options, program.training
        self.names = [tensor.name for tensor in program.inputs]
        self.output = program.outputs[0].name if program.outputs else ""
        # NVIDIA's float32 units compute in NCHW; those of TF32, and oneDNN on a CPU, in NHWC.
        self.channels_last = channels_last and (device == "cpu" or options.precision == "tf32")
        self.module = module.to(self.device)
        if self.channels_last:
            module.to(memory_format=torch.channels_last)
        self.weights = weights(program, module)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.set(program.weights[name])
        if not self.training:
            prepare(module.eval().requires_grad_(False))
        self.make_optimizer = make_optimizer
        self._reset()

    def _reset(self) -> None:
        if self.training:
            self.optimizer = self.make_optimizer(list(self.module.parameters()), self.training.optimizer)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> List[torch.Tensor]:
        settings.use(self.options)
        return [self._staged(torch.tensor(arrays[name])) for name in self.names]

    def _staged(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(self.device)
        return (
            tensor.contiguous(memory_format=torch.channels_last) if self.channels_last and tensor.ndim == 4 else tensor
        )

    @torch.inference_mode()
    def infer(self, staged: List[torch.Tensor]) -> torch.Tensor:
        return self.module(*staged)

    def fetch(self, outputs: torch.Tensor) -> Dict[str, numpy.ndarray]:
        return {self.output: _array(outputs)}

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def train_step(self, staged: List[torch.Tensor]) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self._backward(staged)
        self.optimizer.step()
        return loss

    def _backward(self, staged: List[torch.Tensor]) -> torch.Tensor:
        *inputs, labels = staged
        loss = F.cross_entropy(self.module(*inputs), labels)
        loss.backward()
        return loss.detach()

    def gradients(self, staged: List[torch.Tensor]) -> Dict[str, numpy.ndarray]:
        buffers = [buffer.clone() for buffer in self.module.buffers()]
        self.optimizer.zero_grad()
        self._backward(staged)
        for buffer, saved in zip(self.module.buffers(), buffers):
            buffer.copy_(saved)
        return {name: self.weights[name].gradient() for name in self.training.parameters}

    def parameters(self) -> Dict[str, numpy.ndarray]:
        names = list(self.training.parameters) + list(self.training.updates)
        return {name: self.weights[name].get() for name in names}

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                self.weights[name].set(array)
        self._reset()

    def memory(self) -> Dict[str, int]:
        return settings.memory(self.device)

    def reset_peak(self) -> None:
        settings.reset_peak(self.device)

    def describe(self) -> Dict[str, Any]:
        return {
            "graph": "eager",
            "layout": "NHWC" if self.channels_last else "NCHW",
            **settings.pins(),
        }

    def close(self) -> None:
        self.module = self.weights = self.optimizer = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _array(tensor: torch.Tensor) -> numpy.ndarray:
    """A copy on the host."""
    return tensor.detach().cpu().numpy().copy()
