"""Operators that become one, or work in place, as Caffe2's users write them by hand or have its transformations do it.

Each pass takes a list of operators in order and the blobs that must keep name and value (inputs, weights, results), and
returns a new list.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy
from caffe2.proto import caffe2_pb2

from .graph import Graph

Operators = List[Any]

#: Operators that may write their first output over an input, and over which.
_IN_PLACE = {"Reshape": 0, "Relu": 0, "ReluGradient": 1, "Scale": 0, "Sum": 0}

#: ConvFusion's kinds.
_RELU, _SUM_RELU = 1, 3


def fold_normalization(graph: Graph, operators: Operators, kept: Set[str]) -> Operators:
    """Convolutions with the normalization after them in their weights, where nothing else reads what they make."""
    reads = _Reads(operators, kept)
    makers = {operator.output[0]: index for index, operator in enumerate(operators) if operator.type == "Conv"}
    result: List[Optional[Any]] = list(operators)
    for index, operator in enumerate(operators):
        source = operator.input[0] if operator.type == "SpatialBN" and len(operator.output) == 1 else ""
        if source in makers and reads.counts[source] == 1 and reads.free(source):
            folded = _folded(graph, operators[makers[source]], operator)
            if folded is not None:
                result[makers[source]], result[index] = folded, None
    return [operator for operator in result if operator is not None]


def _folded(graph: Graph, convolution: Any, normalization: Any) -> Optional[Any]:
    """The convolution that does both; None where not all of the weights are constant, or not finite when folded."""
    names = [*convolution.input[1:], *normalization.input[1:]]
    if not all(name in graph.fed and graph.fed[name].dtype == numpy.float32 for name in names):
        return None
    weight, *bias = (graph.fed[name].astype(numpy.float64) for name in convolution.input[1:])
    scale, shift, mean, variance = (graph.fed[name].astype(numpy.float64) for name in normalization.input[1:])
    epsilon = next(argument.f for argument in normalization.arg if argument.name == "epsilon")
    factor = scale / numpy.sqrt(variance + epsilon)
    arrays = [weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift + (sum(bias) - mean) * factor]
    if not all(numpy.isfinite(array).all() for array in arrays):
        return None
    result = _copy(convolution)
    del result.input[1:]
    result.input.extend(graph.constant(array, numpy.float32).blob for array in arrays)
    result.output[0] = normalization.output[0]
    return result


class _Reads:
    """Who makes and reads the blobs of a list of operators."""

    def __init__(self, operators: Operators, kept: Set[str]):
        self.operators, self.kept = operators, kept
        self.counts = Counter(name for operator in operators for name in operator.input)
        self.writes = Counter(name for operator in operators for name in operator.output)
        self.last = {name: index for index, operator in enumerate(operators) for name in operator.input}
        self.makers = {name: index for index, operator in enumerate(operators) for name in operator.output}

    def only(self, name: str, *types: str) -> Optional[int]:
        """Who makes a blob, if that is one of these operators on IDEEP and but one other reads the blob."""
        index = self.makers.get(name)
        if index is None or not _on_ideep(self.operators[index]) or self.operators[index].type not in types:
            return None
        return index if self.counts[name] == 1 and self.free(name) else None

    def free(self, name: str) -> bool:
        """Whether a blob is made once, and wanted by readers in the list alone."""
        return self.writes[name] == 1 and name not in self.kept


def fuse_convolutions(operators: Operators, kept: Set[str]) -> Operators:
    """On IDEEP: Relu(Conv) as one operator, and Relu(Conv + x), which overwrites x where x is read no more."""
    reads = _Reads(operators, kept)
    result: List[Optional[Any]] = list(operators)
    renamed: Dict[str, str] = {}
    overwritten: Dict[str, int] = {}
    for index, operator in enumerate(operators):
        if operator.type != "Relu" or not _on_ideep(operator):
            continue
        convolution = reads.only(operator.input[0], "Conv")
        addition = reads.only(operator.input[0], "Add", "Sum")
        if convolution is not None:
            result[convolution] = _fused(operators[convolution], _RELU, operator.output[0])
            result[index] = None
        elif addition is not None and operator.output[0] not in kept:
            pair = _addends(reads, addition, overwritten)
            if pair is not None:
                convolution, other = pair
                result[convolution] = result[addition] = None
                result[index] = _fused(operators[convolution], _SUM_RELU, other, other)
                renamed[operator.output[0]] = other
                overwritten[other] = index
    return _renamed([operator for operator in result if operator is not None], renamed)


def _addends(reads: _Reads, addition: int, overwritten: Dict[str, int]) -> Optional[Tuple[int, str]]:
    """The convolution (with a bias) that an addition reads, and the other blob, which nothing reads later."""
    names = reads.operators[addition].input
    for name, other in zip(names, reversed(names)):
        convolution = reads.only(name, "Conv")
        if len(names) == 2 and convolution is not None and reads.last[other] == addition and reads.free(other):
            made = reads.operators[convolution]
            # the convolution moves to the addition's place: what it reads must still be there
            if len(made.input) == 3 and overwritten.get(made.input[0], -1) < convolution:
                return convolution, other
    return None


def in_place(operators: Operators, kept: Set[str]) -> Operators:
    """Operators write over an operand that nothing reads later, where Caffe2 allows it."""
    reads = _Reads(operators, kept)
    renamed: Dict[str, str] = {}
    for index, operator in enumerate(operators):
        position = _IN_PLACE.get(operator.type)
        if position is None or (_on_ideep(operator) and operator.type != "Relu"):
            continue
        source, target = operator.input[position], operator.output[0]
        alone = reads.last[source] == index and list(operator.input).count(source) == 1
        if alone and source != target and reads.free(source) and reads.free(target):
            renamed[target] = source
    return _renamed(operators, renamed)


def _on_ideep(operator: Any) -> bool:
    return operator.device_option.device_type == caffe2_pb2.IDEEP


def _copy(operator: Any) -> Any:
    result = caffe2_pb2.OperatorDef()
    result.CopyFrom(operator)
    return result


def _fused(convolution: Any, kind: int, output: str, *more: str) -> Any:
    result = _copy(convolution)
    result.type = "ConvFusion"
    result.input.extend(more)
    result.output[0] = output
    result.arg.add(name="fusion_type", i=kind)
    return result


def _renamed(operators: Operators, names: Dict[str, str]) -> Operators:
    """The operators with blobs under other names; a new name may have another one itself."""

    def final(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    results = []
    for operator in operators:
        result = _copy(operator)
        for field in (result.input, result.output):
            field[:] = [final(name) for name in field]
        results.append(result)
    return results
