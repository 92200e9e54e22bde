"""The gradients of single operators: what a framework's autograd says against slopes measured on the reference.

Each node case becomes a model that trains: its float32 inputs are parameters, unless ONNX calls them not
differentiable or they only steer; the other inputs are constants; the loss is the mean squared distance of the first
float32 output from a random target. It then goes the way of any model that trains; harness/spec/slopes.py says how the
slopes are measured.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy
from onnx import ModelProto, defs, numpy_helper

from harness import parity
from harness.conformance.board import Board, Ready, Result, road
from harness.conformance.cases import RTOL, Case
from harness.conformance.cases import collect as collect_cases
from harness.kit import Optimizer
from harness.live import LiveCell
from harness.matrix import Cell
from harness.spec import model, training
from harness.spec.lift import lift
from harness.spec.optimizers import filled
from harness.spec.prepare import Workload
from harness.spec.steering import OPERANDS

GROUP = "gradients"

_SEED = 0

#: Cases with more elements than this say nothing that smaller ones about the same operator do not say sooner.
_MOST_ELEMENTS = 20_000

#: Operators that no gradient is asked of: what is drawn, which no two frameworks draw alike, and what is quantised.
_LEFT_OUT = ("Dropout", "Bernoulli", "DynamicQuantizeLinear")

#: Running statistics are never trained: {operator: positions of inputs}.
_STATISTICS = {"BatchNormalization": (3, 4)}

#: Inputs of recurrent cases saturate their gates: 1 - tanh(x)**2 then is all rounding. They are made smaller by this.
_RECURRENT, _SMALLER = ("RNN", "LSTM", "GRU"), 0.1

_NON_DIFFERENTIABLE = defs.OpSchema.DifferentiationCategory.NonDifferentiable


def collect(match: str = "*") -> list[Case]:
    """A case for each node case of one differentiable operator with something to train in it."""
    found = []
    for case in collect_cases(["node"], match):
        if _is_simple(case) and _parameters(case) and _outputs(case):
            found.append(Case(GROUP, case.name, case.operator, partial(trainable, case), list, RTOL, 0.0))
    return found


def _is_simple(case: Case) -> bool:
    nodes = case.load().graph.node
    inputs, _ = case.data()[0]
    if len(nodes) != 1 or nodes[0].domain or nodes[0].op_type in _LEFT_OUT:
        return False
    return sum(array.size for array in inputs if isinstance(array, numpy.ndarray)) <= _MOST_ELEMENTS


def trainable(case: Case) -> ModelProto:
    """The case as a model with a training recipe."""
    proto = ModelProto()
    proto.CopyFrom(case.load())
    inputs, _ = case.data()[0]
    for value, array in zip(list(proto.graph.input), inputs, strict=False):
        if case.operator in _RECURRENT and _is_float32(array):
            array = array * numpy.float32(_SMALLER)
        proto.graph.initializer.append(numpy_helper.from_array(numpy.asarray(array), value.name))
    del proto.graph.input[:]
    momentum = Optimizer("Momentum", 0.01, filled("Momentum", {}))
    lifted = lift(proto, case.name)
    return training.add(
        lifted, "mean-squared-error", momentum, output=_outputs(case)[0], parameters=_parameters(case), source=case.name
    )


class GradientBoard(Board):
    """One adapter's gradients, in its environment for training."""

    def make_ready(self, result: Result, folder: Path) -> Ready:
        workload = Workload(model.from_proto(result.case.load(), result.case.name), "train", None, _SEED)
        if not numpy.isfinite(_loss(workload)):
            result.end("untold", "the loss is not finite near the case's inputs")
        return Ready(result, folder, workload=workload)

    def judge(self, ready: Ready) -> None:
        result, way = ready.result, self.way
        name = result.case.name
        workload = ready.workload
        assert workload is not None
        cell = Cell(
            self.site.adapter,
            way.device,
            name,
            "train",
            way.mode,
            "fp32",
            way.layout,
            1,
            way.threads,
            "device",
            "train",
        )
        live = LiveCell(cell, self.site, workload, ready.folder, way.timeout, network=1, worker=self.worker())
        live.load(self.options)
        assert live.bundle is not None
        result.rewritten = live.bundle.rewritten
        result.road = road(live.bundle.rewritten)
        try:
            there = live.fetch("gradients", inputs=str(workload.inputs()), parameters=str(workload.nudged()))
        finally:
            if self.worker().alive():
                live.ask("close")
        surface = workload.surface(there)
        parity.check_gradients(
            live.finding, workload.program, there, workload.slopes(there), lambda slope: surface.culprit(slope, there)
        )
        if not live.finding.reason:
            result.end("pass")
        elif surface.steady():
            result.end("wrong", live.finding.reason)
        else:
            result.end("untold", "the reference's own slopes depend on how far apart it is evaluated")


def _parameters(case: Case) -> list[str]:
    """Float32 inputs of a case's only node that a gradient can be asked for."""
    proto = case.load()
    node = proto.graph.node[0]
    steering = OPERANDS.get(node.op_type, {})
    inputs, _ = case.data()[0]
    floats = {value.name for value, array in zip(proto.graph.input, inputs, strict=False) if _is_float32(array)}
    formal = _schema(proto).inputs
    names = []
    for position, name in enumerate(node.input):
        category = formal[min(position, len(formal) - 1)].differentiation_category
        trained = position not in steering and position not in _STATISTICS.get(node.op_type, ())
        if name in floats and trained and category != _NON_DIFFERENTIABLE:
            names.append(name)
    return list(dict.fromkeys(names))


def _outputs(case: Case) -> list[str]:
    """Float32 outputs of a case's only node that a gradient can come from."""
    proto = case.load()
    _, outputs = case.data()[0]
    floats = {value.name for value, array in zip(proto.graph.output, outputs, strict=False) if _is_float32(array)}
    formal = _schema(proto).outputs
    categories = {
        name: formal[min(position, len(formal) - 1)].differentiation_category
        for position, name in enumerate(proto.graph.node[0].output)
    }
    return [name for name, category in categories.items() if name in floats and category != _NON_DIFFERENTIABLE]


def _schema(proto: ModelProto) -> defs.OpSchema:
    node = proto.graph.node[0]
    version = max(entry.version for entry in proto.opset_import if entry.domain == node.domain)
    return defs.get_schema(node.op_type, version, node.domain)


def _is_float32(array: object) -> bool:
    return isinstance(array, numpy.ndarray) and array.dtype == numpy.float32 and array.size > 0


def _loss(workload: Workload) -> float:
    assert workload.program.training is not None
    return float(workload.nearby().outputs[workload.program.training.loss].reshape(()))
