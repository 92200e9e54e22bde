"""Gradients and ONNX's optimizers as Caffe2 operators."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Sequence, Set, Tuple

import numpy
from caffe2.python import core

from ..kit.interface import Unsupported
from ..kit.program import Optimizer
from . import gradients as _registered  # noqa: F401  (registers itself)
from .graph import Graph, Value

#: An iteration so late that Caffe2's Adam corrects nothing any more, as ONNX's does not at its step 0.
_NEVER = 2**40


def backward(graph: Graph, operators: List[Any], loss: Value, parameters: Sequence[Value]):
    """The operators that compute d loss / d parameter, and the gradient's blob by the parameter's.

    A parameter on which the loss does not depend has a gradient of zeros.
    Raises `Unsupported` where Caffe2 would leave out any part of a gradient.
    """
    between, leading = _between(graph, operators, loss.blob, {parameter.blob for parameter in parameters})
    read = {name for operator in between for name in operator.input}
    idle = {output for operator in between for output in operator.output if output not in read}
    starts: Dict[str, Any] = {loss.blob: None}
    # workaround: Caffe2's gradients of Split and LSTMUnit want one of every output, even of one that nothing reads
    for blob in sorted(idle.intersection(graph.dangling) - {loss.blob}):
        starts[blob] = graph.constant(numpy.zeros(graph.dangling[blob], numpy.float32)).blob
    added, gradients = core.GradientRegistry.GetBackwardPass(between, starts)
    found = {str(blob): gradient for blob, gradient in gradients.items()}
    for parameter in parameters:
        if parameter.blob not in leading:
            found[parameter.blob] = graph.blob("no_gradient")
            added.append(core.CreateOperator("ConstantFill", [parameter.blob], [found[parameter.blob]], value=0.0))
        if not isinstance(found.get(parameter.blob), (str, core.BlobReference)):
            raise Unsupported(f"Caffe2 finds no dense gradient for the parameter in blob {parameter.blob}")
    return added, {parameter.blob: str(found[parameter.blob]) for parameter in parameters}


def _between(graph: Graph, operators: List[Any], loss: str, varying: Set[str]) -> Tuple[List[Any], Set[str]]:
    """The operators between the parameters (varying) and the loss, and the blobs that lead from there to it.

    Only floating-point numbers have gradients. Each operator must have one for each operand on that way. Convolutions
    that read the model's inputs are told to compute no gradient for these.
    """
    activity = []
    for operator in operators:
        active = [name in varying for name in operator.input]
        activity.append(active)
        if any(active) and operator.type != "StopGradient":
            varying.update(graph.floats.intersection(operator.output))
    reads = Counter(name for operator in operators for name in operator.input)
    between, leading = [], {loss}
    for operator, active in zip(reversed(operators), reversed(activity)):
        if operator.type != "StopGradient" and any(active) and leading.intersection(operator.output):
            if operator.type == "Conv" and not active[0]:
                operator.arg.add(name="no_gradient_to_input", i=1)
            _check_operator(operator, active, leading.union(graph.dangling), reads)
            leading.update(name for name, is_active in zip(operator.input, active) if is_active)
            between.append(operator)
    return between[::-1], leading


def _check_operator(operator, active, given, reads) -> None:
    """given: blobs that have a gradient. reads: how often each blob is read."""
    outputs = [name + "_grad" if name in given else None for name in operator.output]
    node, _, op = operator.debug_info.partition("\n")
    try:
        made, gradients = core.GradientRegistry.GetGradientForOp(operator, outputs)
    except Exception as error:
        reason = f"Caffe2's {operator.type} has no gradient here: {str(error).splitlines()[0]}"
        raise Unsupported(reason, op, node) from None
    steps = Counter(name for step in made for name in set(step.output))
    for name, gradient, is_active in zip(operator.input, gradients, active):
        if is_active and not isinstance(gradient, (str, core.BlobReference)):
            raise Unsupported(f"Caffe2's {operator.type} has no gradient for {name}", op, node)
        if is_active and reads[name] > 1 and steps[str(gradient)] > 1:
            raise Unsupported(f"Caffe2's {operator.type} has a wrong gradient for {name}: it is read again", op, node)


class Optimiser:
    """The update of every parameter, and the state that it keeps.

    state: blobs with their first values. Operators read the number of steps made from the state, too; where ONNX
    treats its step 0 differently, `before_step` says what to feed.
    """

    def __init__(self, graph: Graph, optimizer: Optimizer, parameters: Sequence[Value], gradients: Dict[str, str]):
        self.state: Dict[str, numpy.ndarray] = {}
        self.operators: List[Any] = []
        self._graph = graph
        self._attributes = optimizer.attributes
        self._rate = optimizer.learning_rate
        self._step = optimizer.step
        self._special: Dict[int, Dict[str, numpy.ndarray]] = {}
        build = {"Momentum": self._momentum, "Adam": self._adam, "Adagrad": self._adagrad}.get(optimizer.op)
        if build is None:
            raise Unsupported(f"no optimizer {optimizer.op!r}; Momentum, Adam and Adagrad are known")
        build(parameters, gradients)

    def before_step(self, step: int) -> Dict[str, numpy.ndarray]:
        """Blobs to feed before a step that counts so many steps before it; hardly any step has some."""
        return self._special.get(step, {})

    def _add(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **arguments: Any) -> None:
        self.operators.append(core.CreateOperator(op, list(inputs), list(outputs), **arguments))

    def _count(self, made: int) -> str:
        """A blob that counts iterations. Caffe2 keeps such blobs on the CPU."""
        name = self._keep("iteration", [made], "int64")
        self._graph.host.add(name)
        return name

    def _keep(self, what: str, array: Any, dtype: str = "float32") -> str:
        name = self._graph.blob(what)
        self.state[name] = numpy.array(array, dtype)
        return name

    def _regularised(self, parameter: Value, gradient: str) -> str:
        """G' = norm_coefficient * X + G."""
        coefficient = self._attributes.get("norm_coefficient", 0.0)
        if not coefficient:
            return gradient
        result = self._graph.blob("regularised")
        self._add("WeightedSum", [gradient, self._one(), parameter.blob, self._number(coefficient)], [result])
        return result

    def _one(self) -> str:
        return self._number(1.0)

    def _number(self, value: float) -> str:
        return self._graph.constant(numpy.array([value], numpy.float32)).blob

    def _momentum(self, parameters: Sequence[Value], gradients: Dict[str, str]) -> None:
        """Caffe2 keeps R*V where ONNX keeps V: the same for a constant R. beta is 1 at step 0."""
        alpha, beta = self._attributes["alpha"], self._attributes["beta"]
        nesterov = self._attributes["mode"] == "nesterov"
        if nesterov and beta != 1:
            raise Unsupported("Caffe2's Nesterov momentum has no factor for the gradient: beta must be 1")
        rate = self._keep("rate", [self._rate * beta])
        if beta != 1:
            self._special = {0: {rate: numpy.array([self._rate], "float32")}, 1: {rate: self.state[rate]}}
        shared = len(set(gradients.values())) < len(gradients)
        for parameter in parameters:
            gradient = self._regularised(parameter, gradients[parameter.blob])
            # workaround: Caffe2 writes the step over the gradient, which parameters that are only added have in common
            step = self._graph.blob("step") if shared else gradient
            velocity = self._keep("velocity", numpy.zeros(self._graph.shapes[parameter.blob]))
            self._add("MomentumSGDUpdate", [gradient, velocity, rate, parameter.blob],
                      [step, velocity, parameter.blob], momentum=float(alpha), nesterov=int(nesterov))  # fmt: skip

    def _adam(self, parameters: Sequence[Value], gradients: Dict[str, str]) -> None:
        """Caffe2 corrects the bias by its iteration + 1; ONNX by its step, and not at all at step 0."""
        alpha, beta = self._attributes["alpha"], self._attributes["beta"]
        if not (0 <= alpha < 1 and 0 <= beta < 1):
            raise Unsupported("Caffe2's Adam needs alpha and beta below 1")
        rate = self._keep("rate", [-self._rate])
        iteration = self._count(self._step - 1)
        self._special = {0: {iteration: numpy.array([_NEVER])}, 1: {iteration: numpy.array([0])}}
        for parameter in parameters:
            gradient = self._regularised(parameter, gradients[parameter.blob])
            first = self._keep("first_moment", numpy.zeros(self._graph.shapes[parameter.blob]))
            second = self._keep("second_moment", numpy.zeros(self._graph.shapes[parameter.blob]))
            self._add("Adam", [parameter.blob, first, second, gradient, rate, iteration],
                      [parameter.blob, first, second], beta1=float(alpha), beta2=float(beta),
                      epsilon=float(self._attributes["epsilon"]))  # fmt: skip
            after = self._attributes.get("norm_coefficient_post", 0.0)
            if after:
                self._add("Scale", [parameter.blob], [parameter.blob], scale=float(1 - after))
        self._add("Iter", [iteration], [iteration])

    def _adagrad(self, parameters: Sequence[Value], gradients: Dict[str, str]) -> None:
        rate = self._keep("rate", [-self._rate])
        decay = self._attributes.get("decay_factor", 0.0)
        if decay:
            iteration = self._count(self._step)
            self._add("LearningRate", [iteration], [rate], policy="inv", base_lr=float(-self._rate),
                      gamma=float(decay), power=1.0)  # fmt: skip
        for parameter in parameters:
            gradient = self._regularised(parameter, gradients[parameter.blob])
            squares = self._keep("squares", numpy.zeros(self._graph.shapes[parameter.blob]))
            self._add("Adagrad", [parameter.blob, squares, gradient, rate], [parameter.blob, squares],
                      epsilon=float(self._attributes["epsilon"]))  # fmt: skip
        if decay:
            self._add("Iter", [iteration], [iteration])
