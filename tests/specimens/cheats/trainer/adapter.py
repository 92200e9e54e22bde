"""Computes with numpy, and trains what is made of Gemm and Relu under SoftmaxCrossEntropyLoss, by Momentum."""

from __future__ import annotations

from typing import Any

import numpy

from adapters.kit.interface import Adapter, Network, Options, Unsupported
from adapters.kit.lowering import lower, missing, operators_of
from adapters.kit.program import Program

from . import ops


class TrainerNetwork(Network):
    operators = operators_of(ops)

    def __init__(self, program: Program):
        self.program = program
        self.weights = {name: numpy.array(array) for name, array in program.weights.items()}
        self.velocities: dict[str, Any] = {}

    def stage(self, arrays: dict[str, numpy.ndarray]) -> Any:
        return {name: numpy.array(array) for name, array in arrays.items()}

    def infer(self, staged: Any) -> Any:
        values = self.forward(staged)
        return {tensor.name: values[tensor.name] for tensor in self.program.outputs}

    def fetch(self, outputs: Any) -> dict[str, numpy.ndarray]:
        return {name: numpy.asarray(array) for name, array in outputs.items()}

    def synchronize(self) -> None:
        return None

    def forward(self, staged: Any) -> dict[str, Any]:
        return lower(self.program, self.operators, {**self.weights, **staged})

    def train_step(self, staged: Any) -> Any:
        loss, slopes = self.backward(staged)
        recipe = self.program.training.optimizer
        alpha, beta = (numpy.float32(recipe.attributes[name]) for name in ("alpha", "beta"))
        decay = numpy.float32(recipe.attributes["norm_coefficient"])
        for name in self.program.training.parameters:
            slope = slopes[name] + decay * self.weights[name]
            velocity = self.velocities.get(name)
            velocity = slope if velocity is None else alpha * velocity + beta * slope
            self.velocities[name] = velocity
            self.weights[name] = self.weights[name] - numpy.float32(recipe.learning_rate) * velocity
        return loss

    def gradients(self, staged: Any) -> dict[str, numpy.ndarray]:
        return self.backward(staged)[1]

    def backward(self, staged: Any) -> tuple[Any, dict[str, Any]]:
        """The loss, and its slopes by name of parameter."""
        values, slopes = self.forward(staged), {}
        for node in reversed(self.program.nodes):
            inputs = [values[name] for name in node.inputs]
            if node.op == "SoftmaxCrossEntropyLoss":
                scores, labels = inputs
                shifted = numpy.exp(scores - scores.max(axis=1, keepdims=True))
                slope = shifted / shifted.sum(axis=1, keepdims=True)
                slope[numpy.arange(len(labels)), labels] -= 1
                slopes[node.inputs[0]] = slope / numpy.float32(len(labels))
            elif node.op == "Relu":
                slopes[node.inputs[0]] = slopes[node.outputs[0]] * (inputs[0] > 0)
            else:
                slope, turned = slopes[node.outputs[0]], node.attributes.get("transB", 0)
                slopes[node.inputs[0]] = slope @ (inputs[1] if turned else inputs[1].T)
                slopes[node.inputs[1]] = slope.T @ inputs[0] if turned else inputs[0].T @ slope
                slopes[node.inputs[2]] = slope.sum(axis=0)
        return values[self.program.training.loss], {name: slopes[name] for name in self.program.training.parameters}

    def parameters(self) -> dict[str, numpy.ndarray]:
        return {name: self.weights[name] for name in self.program.training.parameters}

    def set_parameters(self, arrays: dict[str, numpy.ndarray]) -> None:
        self.weights.update({name: numpy.array(array) for name, array in arrays.items()})
        self.velocities = {}


class TrainerAdapter(Adapter):
    network = TrainerNetwork

    def version(self) -> str:
        return numpy.__version__

    def operators(self) -> list[str]:
        return list(operators_of(ops))

    def load(self, program: Program, device: str, options: Options) -> Network:
        if (device, options.mode, options.precision) != ("cpu", "plain", "fp32"):
            raise Unsupported(f"{device}, mode {options.mode!r}, precision {options.precision!r}")
        lacking = missing(program, operators_of(ops))
        if lacking:
            raise Unsupported("no such operator in this adapter", operator=", ".join(lacking))
        if program.training is not None and program.training.optimizer.op != "Momentum":
            raise Unsupported("only Momentum")
        return self.network(program)


ADAPTER = TrainerAdapter
