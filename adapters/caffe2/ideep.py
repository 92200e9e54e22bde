"""Convolutions, and what stands between them, by IDEEP: Intel's MKL-DNN, as Caffe2's users on CPUs had it.

An operator runs there only if it was found to agree with Caffe2's own kernel; copies are put where data must change
sides. Known to differ, so never placed: pooling that counts its padding, SpatialBN in training, transposed
convolutions, anything but images.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Set, Tuple

from caffe2.proto import caffe2_pb2
from caffe2.python import core

DEVICE = core.DeviceOption(caffe2_pb2.IDEEP)

#: Placed where their first input is there already. Convolutions are placed wherever they stand, and in training MaxPool
#: too: its gradient goes to one of several equal elements, that of Caffe2's own MaxPool to each of them.
_LIGHT = {"Relu", "MaxPool", "AveragePool", "SpatialBN", "Add"}


class Placed:
    """Operators with some of them on IDEEP, and copies between the sides.

    shapes: of the forward blobs. fixed: blobs that never change; their copies are not made in the net: `feeds` says
    {copy: blob} for those that are to be fed to IDEEP once.
    """

    def __init__(self, operators: List[Any], shapes: Dict[str, Tuple[int, ...]], fixed: Set[str], training: bool):
        self.operators: List[Any] = []
        self.feeds: Dict[str, str] = {}
        self._shapes, self._fixed, self._training = shapes, fixed, training
        self._there: Set[str] = set()
        self._copies: Dict[str, str] = {}
        self._vectors: Set[str] = set()
        for operator in operators:
            self._place(operator)

    def fetched(self, blob: str) -> str:
        """Where to read a blob after the net has run: IDEEP may hold an image channels-last and not say so."""
        return self._copied(blob, False) if blob in self._there else blob

    def _place(self, operator: Any) -> None:
        moved = _suits(operator, self._shapes, self._there, self._training)
        result = caffe2_pb2.OperatorDef()
        result.CopyFrom(operator)
        for index, name in enumerate(operator.input):
            if (name in self._there) != moved:
                result.input[index] = self._copied(name, moved)
        if moved:
            result.device_option.CopyFrom(DEVICE)
            if operator.type in ("Conv", "ConvGradient"):
                # without it IDEEP keeps its own form of the weights from the first run on
                result.arg.add(name="training_mode", i=int(self._training))
            if operator.type == "ConvGradient" and not any(argument.name == "no_bias" for argument in operator.arg):
                self._vectors.add(operator.output[1])
        self.operators.append(result)
        for name in operator.output:
            self._copies.pop(name, None)
            (self._there.add if moved else self._there.discard)(name)

    def _copied(self, name: str, to_ideep: bool) -> str:
        """The name of a blob's copy on the other side; it is made once for each value of the blob."""
        if name in self._copies:
            return self._copies[name]
        copy = self._copies[name] = f"{name}_{'ideep' if to_ideep else 'cpu'}_1"
        if to_ideep and name in self._fixed:
            self.feeds[copy] = name
        elif to_ideep:
            self._append("CopyCPUToIDEEP", name, copy)
        else:
            # workaround: CopyIDEEPToCPU copies images that IDEEP keeps channels-last as they lie
            if name not in self._vectors:
                self._append("Transpose", name, copy + "_0", axes=[0, 1, 2, 3])
                name = copy + "_0"
            self._append("CopyIDEEPToCPU", name, copy)
        return copy

    def _append(self, op: str, source: str, target: str, **arguments: Any) -> None:
        self.operators.append(core.CreateOperator(op, [source], [target], device_option=DEVICE, **arguments))


def takes_image(shape: Sequence[int], pads: Sequence[int]) -> bool:
    """IDEEP pads both sides alike, and takes the shape of an image for another where there is one channel alone."""
    half = len(pads) // 2
    return len(shape) == 4 and shape[1] > 1 and list(pads[:half]) == list(pads[half:])


def _suits(operator: Any, shapes: Dict[str, Tuple[int, ...]], there: Set[str], training: bool) -> bool:
    arguments = {argument.name: argument for argument in operator.arg}
    pads = arguments["pads"].ints if "pads" in arguments else []
    operands = [shapes.get(name) or () for name in operator.input]
    if operator.type in ("Conv", "ConvGradient"):
        batch, channels = operands[0][:1], operands[1][:1]
        return len(operands[0]) == 4 and takes_image(batch + channels + (1, 1), pads)
    if not takes_image(operands[0], pads):
        return False
    if operator.type in ("MaxPool", "MaxPoolGradient") and training:
        return not arguments.get("global_pooling")
    if operator.type not in _LIGHT or operator.input[0] not in there:
        return False
    if operator.type == "Add":
        return operands[0] == operands[1] and operator.input[1] in there
    if operator.type == "SpatialBN":
        return bool(arguments["is_test"].i)
    return not ("count_include_pad" in arguments and arguments["count_include_pad"].i)
