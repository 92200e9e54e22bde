"""Convolutions and large matrix products, and what stands between them, by IDEEP: Intel's MKL-DNN, as Caffe2's users
on CPUs had it.

An operator runs there only if it was found to agree with Caffe2's own kernel, or with ONNX where that differs; copies
are put where data must change sides. Known to differ or to fail, so never placed: pooling that counts its padding,
AveragePool in training, transposed convolutions, anything but images and matrices.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Sequence, Set, Tuple

from caffe2.proto import caffe2_pb2
from caffe2.python import core

DEVICE = core.DeviceOption(caffe2_pb2.IDEEP)

#: Placed where their first input is there already. Convolutions are placed wherever they stand, and in training MaxPool
#: too: its gradient goes to one of several equal elements, that of Caffe2's own MaxPool to each of them.
_LIGHT = {"Relu", "MaxPool", "AveragePool", "SpatialBN", "Add", "Sum", "ReluGradient", "SpatialBNGradient"}

#: What updates a parameter, and goes there with one all of whose other readers are there: which of its operands is the
#: gradient, which are kept beside the parameter, and which stay on the CPU.
_UPDATES = {"WeightedSum": (0, (), ()), "MomentumSGDUpdate": (0, (1,), (2,)), "Adam": (3, (1, 2), (4, 5))}

#: A product of matrices is worth the copies from this many multiplications on.
_LARGE = 2**18

#: Its gradient, and in training, where the weights change, itself: from this many rows on.
_ROWS = 64

Shapes = Dict[str, Tuple[int, ...]]


class Placed:
    """Operators with some of them on IDEEP, and copies between the sides.

    shapes: of the forward blobs. fixed: blobs that never change; their copies are not made in the net: `feeds` says
    {copy: blob} for those that are to be fed to IDEEP once. homes: changing blobs that live there.
    """

    def __init__(self, operators: List[Any], shapes: Shapes, fixed: Set[str], homes: Set[str], training: bool):
        self.operators: List[Any] = []
        self.feeds: Dict[str, str] = {}
        self.moved: List[bool] = []
        self._shapes, self._fixed, self._homes, self._training = shapes, fixed, homes, training
        self._there: Set[str] = set(homes)
        self._copies: Dict[str, str] = {}
        self._flat: Set[str] = set()
        self._uses = Counter(operator.input[1] for operator in operators if operator.type == "FC")
        for operator in operators:
            self._place(operator)

    def fetched(self, blob: str) -> str:
        """Where to read a blob after the net has run: IDEEP may hold an image channels-last and not say so."""
        return self._copied(blob, False) if blob in self._there else blob

    def _place(self, operator: Any) -> None:
        moved = self._suits(operator)
        self.moved.append(moved)
        result = caffe2_pb2.OperatorDef()
        result.CopyFrom(operator)
        for index, name in enumerate(operator.input):
            stays = index in _UPDATES.get(operator.type, ((), (), ()))[2]
            if (name in self._there) != (moved and not stays):
                result.input[index] = self._copied(name, moved and not stays)
        if moved:
            result.device_option.CopyFrom(DEVICE)
            if operator.type in ("Conv", "ConvGradient", "FC"):
                # without it IDEEP keeps its own form of the weights from the first run on
                result.arg.add(name="training_mode", i=int(self._training))
            if operator.type in _UPDATES:
                self._straighten(result)
            self._flat.update(self._matrices(operator))
        self.operators.append(result)
        for name in operator.output:
            self._copies.pop(name, None)
            (self._there.add if moved else self._there.discard)(name)

    def _straighten(self, operator: Any) -> None:
        """The gradient that an update reads in the order that its shape says."""
        # workaround: IDEEP's updates take numbers as they lie, and its convolutions leave gradients in blocks
        position = _UPDATES[operator.type][0]
        before, after = operator.input[position], self._straight(operator.input[position])
        operator.input[position] = after
        operator.output[:] = [after if name == before else name for name in operator.output]

    def _matrices(self, operator: Any) -> List[str]:
        """The outputs of an operator on IDEEP whose elements lie in the order that their shape says."""
        kept = operator.type in _UPDATES or (operator.type == "Sum" and self._flat.issuperset(operator.input))
        if kept or operator.type in ("FC", "FCGradient"):
            return list(operator.output)
        if operator.type in ("SpatialBN", "SpatialBNGradient"):
            return list(operator.output[1:])
        if operator.type == "ConvGradient" and not any(argument.name == "no_bias" for argument in operator.arg):
            return [operator.output[1]]
        return []

    def _suits(self, operator: Any) -> bool:
        operands = [self._shapes.get(name) or () for name in operator.input]
        if operator.type in ("FC", "FCGradient"):
            return self._suits_matrices(operator, operands)
        if operator.type in _UPDATES:
            return not self._homes.isdisjoint(operator.input)
        return _suits_images(operator, operands, self._there, self._training)

    def _suits_matrices(self, operator: Any, operands: Sequence[Tuple[int, ...]]) -> bool:
        x, weight = operands[:2]
        if len(weight) != 2 or len(x) < 2:
            return False
        axis = next((argument.i for argument in operator.arg if argument.name == "axis"), 1)
        columns, inner = weight
        rows = _count(x) // max(inner, 1)
        if axis != len(x) - 1 or rows * columns * inner < _LARGE:
            return False
        if operator.type == "FCGradient":
            # workaround: IDEEP's gradient of FC is slow at other extents
            return len(x) == 2 and rows >= _ROWS and columns % 64 == 0 and inner % 64 == 0
        return not self._training or rows * self._uses[operator.input[1]] >= _ROWS

    def _copied(self, name: str, to_ideep: bool) -> str:
        """The name of a blob's copy on the other side; it is made once for each value of the blob."""
        if name in self._copies:
            return self._copies[name]
        copy = self._copies[name] = f"{name}_{'ideep' if to_ideep else 'cpu'}_1"
        if to_ideep and name in self._fixed:
            self.feeds[copy] = name
        elif to_ideep:
            self._append("CopyCPUToIDEEP", [name], [copy])
        else:
            self._append("CopyIDEEPToCPU", [self._straight(name)], [copy])
            if name in self._flat and len(self._shapes.get(name, ())) > 2:
                # workaround: IDEEP makes a matrix of a product whatever the shape of the operand
                shape = list(self._shapes[name])
                self.operators.append(core.CreateOperator("Reshape", [copy], [copy, copy + "_shape"], shape=shape))
        return copy

    def _straight(self, name: str) -> str:
        """A blob there whose elements lie in the order that its shape says."""
        if name in self._flat:
            return name
        # workaround: CopyIDEEPToCPU copies images that IDEEP keeps channels-last as they lie
        self._append("Transpose", [name], [name + "_straight_0"], axes=[0, 1, 2, 3])
        return name + "_straight_0"

    def _append(self, op: str, sources: List[str], targets: List[str], **arguments: Any) -> None:
        self.operators.append(core.CreateOperator(op, sources, targets, device_option=DEVICE, **arguments))


def homes(operators: List[Any], shapes: Shapes, fixed: Set[str], changing: Set[str]) -> Set[str]:
    """Of the changing blobs those that can live on IDEEP: nothing else reads or writes them but the optimizer."""
    placed = Placed(operators, shapes, fixed, set(), True)
    there, elsewhere = set(), set()
    for operator, moved in zip(operators, placed.moved):
        if operator.type not in _UPDATES:
            (there if moved else elsewhere).update(changing.intersection([*operator.input, *operator.output]))
    found = there - elsewhere
    for operator in operators:
        if operator.type in _UPDATES and not found.isdisjoint(operator.input):
            found.update(operator.input[index] for index in _UPDATES[operator.type][1])
    return found


def _count(shape: Sequence[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def takes_image(shape: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether IDEEP computes right with images of this shape, so padded."""
    # workaround: IDEEP pads both sides alike, and takes the shape of an image of one channel for another
    half = len(pads) // 2
    return len(shape) == 4 and shape[1] > 1 and list(pads[:half]) == list(pads[half:])


def _suits_images(operator: Any, operands: Sequence[Tuple[int, ...]], there: Set[str], training: bool) -> bool:
    arguments = {argument.name: argument for argument in operator.arg}
    pads = arguments["pads"].ints if "pads" in arguments else []
    if operator.type in ("Conv", "ConvGradient"):
        batch, channels = operands[0][:1], operands[1][:1]
        return len(operands[0]) == 4 and takes_image(batch + channels + (1, 1), pads)
    if operator.type == "Sum" and training and there.issuperset(operator.input) and not operands[0]:
        return True
    if not operands or not takes_image(operands[0], pads):
        return False
    if operator.type in ("MaxPool", "MaxPoolGradient") and training:
        return not arguments.get("global_pooling")
    if operator.type not in _LIGHT or operator.input[0] not in there:
        return False
    if operator.type in ("Add", "Sum"):
        return len(set(operands)) == 1 and there.issuperset(operator.input)
    if operator.type == "SpatialBN" and not arguments["is_test"].i:
        # in place, it keeps the population's variance, as ONNX does
        return operator.input[3] == operator.output[1]
    if operator.type == "SpatialBNGradient":
        return operator.input[3] in there
    if operator.type == "AveragePool":
        return not training and not ("count_include_pad" in arguments and arguments["count_include_pad"].i)
    return True
