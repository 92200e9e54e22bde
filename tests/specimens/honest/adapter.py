from __future__ import annotations

from typing import Any

import numpy

from adapters.kit.interface import Adapter, Network, Options, Unsupported
from adapters.kit.lowering import lower, operators_of
from adapters.kit.program import Program

from . import ops


class HonestNetwork(Network):
    def __init__(self, program: Program):
        self.program = program

    def stage(self, arrays: dict[str, numpy.ndarray]) -> Any:
        return arrays

    def infer(self, staged: Any) -> Any:
        values = lower(self.program, operators_of(ops), {**self.program.weights, **staged})
        return {tensor.name: values[tensor.name] for tensor in self.program.outputs}

    def fetch(self, outputs: Any) -> dict[str, numpy.ndarray]:
        return outputs

    def synchronize(self) -> None:
        return None


class HonestAdapter(Adapter):
    network = HonestNetwork

    def version(self) -> str:
        return numpy.__version__

    def operators(self) -> list[str]:
        return list(operators_of(ops))

    def load(self, program: Program, device: str, options: Options) -> Network:
        if options.mode != "plain":
            raise Unsupported(f"mode {options.mode!r}")
        return self.network(program)


ADAPTER = HonestAdapter
