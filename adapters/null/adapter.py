"""The adapter that does nothing, correctly: it measures what the harness itself costs.

It accepts every Program, answers with zeros of the right shapes that were made at load, and never learns.
"""

from __future__ import annotations

from typing import Any, Dict, List

import numpy

from ..kit.arrays import carrier
from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.program import Program, Tensor


class NullNetwork(Network):
    """Keeps the Program's shapes and weights; every call returns at once."""

    def __init__(self, program: Program):
        self._parameters = set(program.training.parameters) if program.training else set()
        updated = set(program.training.updates) if program.training else set()
        self._shapes = {tensor.name: tensor for tensor in program.initializers}
        self._weights = {name: program.weights[name] for name in self._parameters | updated}
        self._outputs = {tensor.name: _zeros(tensor) for tensor in program.outputs}
        self._loss = numpy.zeros((), numpy.float32)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        return arrays

    def infer(self, staged: Any) -> Any:
        return self._outputs

    def fetch(self, outputs: Any) -> Dict[str, numpy.ndarray]:
        return outputs

    def synchronize(self) -> None:
        return None

    def train_step(self, staged: Any) -> Any:
        return self._loss

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        return {name: _zeros(self._shapes[name]) for name in self._parameters}

    def parameters(self) -> Dict[str, numpy.ndarray]:
        return dict(self._weights)

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        self._weights.update(arrays)


class NullAdapter(Adapter):
    def version(self) -> str:
        return "1"

    def operators(self) -> List[str]:
        return ["*"]

    def load(self, program: Program, device: str, options: Options) -> Network:
        if device != "cpu":
            raise Unsupported(f"the null adapter has no device {device!r}; it runs on the cpu")
        if options.mode != "noop":
            raise Unsupported(f"the null adapter has no mode {options.mode!r}; its only mode is 'noop'")
        return NullNetwork(program)


def _zeros(tensor: Tensor) -> numpy.ndarray:
    return numpy.zeros(tensor.shape, carrier(tensor.dtype))


ADAPTER = NullAdapter
