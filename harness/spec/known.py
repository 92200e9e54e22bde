"""What is known of each tensor while a model is specialised: its type, its other name, its value."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy
from onnx import NodeProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness.kit import Tensor
from harness.spec import elements
from harness.spec.steering import OPERANDS, TRACED_DIRECTLY

#: A folded constant may be this large even where its operands are smaller.
_FOLD_BYTES = 1 << 20

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


class Known:
    """types, constants: by name. aliases: names of the same tensor. sequences: the tensors that a sequence consists of.

    given: values of inputs, by which steering operands are bound. changing: constants that training changes, which
    are therefore never folded. bound: the values that steering operands were found to have. opset: of the operators.
    """

    def __init__(self, where: str, opset: int, changing: Collection[str], given: Mapping[str, numpy.ndarray]):
        self.where, self.opset, self.changing, self.given = where, opset, changing, given
        self.types: dict[str, Tensor] = {}
        self.constants: dict[str, numpy.ndarray] = {}
        self.aliases: dict[str, str] = {}
        self.sequences: dict[str, list[str]] = {}
        self.makers: dict[str, NodeProto] = {}
        self.bound: dict[str, numpy.ndarray] = {}
        self.used: set[str] = set()
        self._traced: dict[str, numpy.ndarray | None] = {}

    def resolve(self, name: str) -> str:
        return self.aliases.get(name, name)

    def alias(self, name: str, source: str) -> None:
        self.aliases[name] = self.resolve(source)

    def constant(self, name: str, array: numpy.ndarray) -> None:
        self.constants[name] = array
        self.types[name] = elements.type_of(name, array)

    def type_proto(self, name: str) -> TypeProto:
        tensor = self.types.get(name)
        if tensor is None:
            return TypeProto()
        return helper.make_tensor_type_proto(elements.number_of(tensor.dtype), tensor.shape)

    # Values --------------------------------------------------------------------------------------------------------

    def is_fixed(self, name: str) -> bool:
        return name in self.constants and name not in self.changing

    def value(self, name: str) -> numpy.ndarray | None:
        """A tensor's value: a constant's, or what the given inputs make of it; None where it depends on data.

        The inputs that it was traced back to are in `used`.
        """
        name = self.resolve(name)
        if self.is_fixed(name):
            return self.constants[name]
        return self._trace(name) if self.given else None

    def bind_operands(self, node: NodeProto) -> None:
        """Find the values of a node's steering operands, as far as they have any."""
        for position, keyword in OPERANDS.get(node.op_type, {}).items():
            name = node.input[position] if position < len(node.input) else ""
            if not name or (keyword in TRACED_DIRECTLY and name not in self.given and not self.is_fixed(name)):
                continue
            array = self.value(name)
            if array is not None:
                self.bound[name] = array

    def _trace(self, name: str) -> numpy.ndarray | None:
        """Compute a tensor from the given inputs, and what lies between."""
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in self._traced or self.is_fixed(current):
                continue
            maker = self.makers.get(current)
            if current in self.given:
                self.used.add(current)
                self._traced[current] = numpy.asarray(self.given[current])
            elif maker is None or maker.op_type in _RANDOM:
                self._traced[current] = None
            else:
                needs = [need for need in maker.input if need and need not in self._traced and not self.is_fixed(need)]
                waiting += [current, *needs] if needs else []
                if not needs:
                    self._compute(maker)
        return self._traced[name]

    def _compute(self, node: NodeProto) -> None:
        names = [name for name in node.input if name]
        found = {name: self.constants[name] if self.is_fixed(name) else self._traced[name] for name in names}
        inputs = {name: array for name, array in found.items() if array is not None}
        results = evaluate(node, inputs, self.opset) if len(inputs) == len(found) else None
        for index, name in enumerate(node.output):
            if name:
                self._traced[name] = results[index] if results and index < len(results) else None

    # Folding -------------------------------------------------------------------------------------------------------

    def fold(self, node: NodeProto) -> bool:
        """Make constants of a node's outputs if everything it needs is constant. Returns whether it is gone."""
        if node.op_type in ("Shape", "Size") and node.input[0] in self.types:
            self._fold_shape(node)
            return True
        names = [name for name in node.input if name]
        if node.op_type == "CastLike" and self.is_fixed(names[0]) and names[1] in self.types:
            node, names = self._cast(node), names[:1]
        if node.op_type in _RANDOM or not all(map(self.is_fixed, names)):
            return False
        if any(self.types[name].dtype == "string" for name in names):
            return False
        results = evaluate(node, {name: self.constants[name] for name in names}, self.opset)
        before = sum(self.constants[name].nbytes for name in names)
        if results is None:
            return False
        if node.op_type != "Constant" and sum(array.nbytes for array in results) > max(_FOLD_BYTES, 2 * before):
            return False
        for name, array in zip(node.output, results, strict=False):
            if name:
                self.constant(name, array)
        return True

    def _fold_shape(self, node: NodeProto) -> None:
        shape = numpy.array(self.types[node.input[0]].shape, numpy.int64)
        if node.op_type == "Size":
            self.constant(node.output[0], numpy.array(math.prod(shape.tolist()), numpy.int64))
        else:
            given = {attribute.name: attribute.i for attribute in node.attribute}
            self.constant(node.output[0], shape[slice(given.get("start", 0), given.get("end"))])

    def _cast(self, node: NodeProto) -> NodeProto:
        """A CastLike, which needs only the type of its second operand, as a Cast."""
        to = elements.number_of(self.types[node.input[1]].dtype)
        kept = {attribute.name: attribute.i for attribute in node.attribute if attribute.name == "saturate"}
        return helper.make_node("Cast", [node.input[0]], [node.output[0]], to=to, **kept)


def evaluate(node: NodeProto, inputs: Mapping[str, numpy.ndarray], opset: int) -> list[numpy.ndarray] | None:
    """A node's outputs by onnx.reference; None where that cannot compute them, or where they are not tensors."""
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return None
    try:
        if node.op_type == "Constant" and node.attribute[0].name == "value":  # most of what is folded is quickly told
            return [numpy_helper.to_array(node.attribute[0].t)]
        evaluator = ReferenceEvaluator(node, opsets={"": opset})
        results = evaluator.run(None, {name: numpy.asarray(array) for name, array in inputs.items()})
    except Exception:  # onnx.reference lacks some operators and types; the node then stays as it is
        return None
    if any(not isinstance(result, numpy.ndarray | numpy.generic) for result in results):
        return None
    return [numpy.asarray(result) for result in results]
