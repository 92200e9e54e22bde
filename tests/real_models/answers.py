"""What a real model must answer: its Program, the tensors before its last activations, and the reference's numbers."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace

import numpy
import onnx

from harness import parity
from harness.folders import make_whole
from harness.kit import Node, Program, arrays
from harness.paths import home
from harness.spec import reference
from harness.spec.model import Model
from harness.spec.reference import Arrays, Reference
from harness.spec.specialise import specialise

from .catalogue import MODELS, Setting, shapes_of

_ACTIVATIONS = {"Sigmoid", "Softmax", "HardSigmoid", "Tanh"}

#: What may stand between an activation and an output without hiding it.
_PASS_ON = {
    "Add", "Concat", "Flatten", "Identity", "Mul", "ReduceMean", "Reshape", "Slice", "Squeeze", "Transpose",
    "Unsqueeze",
}  # fmt: skip

#: Another one where answers are computed in another way.
_VERSION = 1


@dataclass(frozen=True)
class Question:
    """A model at one setting. program: with the inner tensors as additional outputs. inner: their names."""

    source: Model
    setting: Setting
    program: Program
    inner: tuple[str, ...]

    def lowered(self, operators: list[str]) -> Program:
        """The same for an adapter that has only these operators."""
        made = specialise(self.source, "infer", self.setting.batch, dict(self.setting.shapes), operators).program
        return with_outputs(made, self.inner)

    def answer(self, inputs: Arrays) -> Reference:
        """Right outputs and what rounding does to them; kept, for some take half a minute."""
        key = hashlib.sha256(f"{_VERSION} {onnx.__version__} {self.source.sha256} {self.program.nodes}".encode())
        for name, array in inputs.items():
            key.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        folder = home() / "workloads" / f"{self.source.name}-{key.hexdigest()[:16]}"
        kept = make_whole(folder, lambda scratch: self._evaluate(inputs, str(scratch / "answer")))
        found = arrays.read_arrays(str(kept / "answer"))
        names = [tensor.name for tensor in self.program.outputs]
        return Reference(
            {name: found[name] for name in names}, {name: float(found["rounding of " + name]) for name in names}
        )

    def _evaluate(self, inputs: Arrays, path: str) -> None:
        found = reference.evaluate(self.program, inputs)
        rounding = {"rounding of " + name: numpy.array(error) for name, error in found.rounding.items()}
        arrays.write_arrays(path, {**found.outputs, **rounding})


@functools.cache
def ask(name: str, asked: bool = False) -> Question:
    """A model of the catalogue at its default setting, or at the one that a user asks for."""
    entry = MODELS[name]
    setting = entry.asked if asked else entry.default
    assert setting is not None
    source = entry.load()
    program = specialise(source, "infer", setting.batch, dict(setting.shapes)).program
    inner = before_activations(program)
    return Question(source, setting, with_outputs(program, inner), inner)


def inputs(name: str, program: Program, number: int = 0) -> Arrays:
    return MODELS[name].inputs(shapes_of(program), number)


def with_outputs(program: Program, names: tuple[str, ...]) -> Program:
    return replace(program, outputs=program.outputs + tuple(program.tensors[name] for name in names))


def before_activations(program: Program) -> tuple[str, ...]:
    """What the last activations before the outputs read; a Softmax may be written out as Exp and Div."""
    makers = {name: node for node in program.nodes for name in node.outputs}
    found: list[str] = []
    waiting = [tensor.name for tensor in program.outputs]
    seen = set(waiting)
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        activated = _activated(node, makers)
        if activated:
            found.append(activated)
        elif node.op in _PASS_ON:
            new = [name for name in node.inputs if name and name not in seen]
            seen.update(new)
            waiting += new
    outputs = {tensor.name for tensor in program.outputs}
    return tuple(sorted({name for name in found if name in makers} - outputs))


def _activated(node: Node, makers: dict[str, Node]) -> str:
    if node.op in _ACTIVATIONS:
        return node.inputs[0]
    if node.op == "Div" and node.inputs[0] in makers and makers[node.inputs[0]].op == "Exp":
        return makers[node.inputs[0]].inputs[0]
    return ""


def allowed(right: Reference, name: str) -> float:
    """How far off the gate lets an output be."""
    return max(parity.FLOOR, parity.ROUNDING_FACTOR * right.rounding[name])
