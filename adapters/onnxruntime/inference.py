"""Inference: ONNX Runtime runs the ONNX file of the bundle, after the few repairs that its kernels need."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import numpy
import onnxruntime

from ..kit.interface import Network, Options, Unsupported
from ..kit.program import Program
from .elements import NUMBERS, PACKED
from .onnx_file import OnnxFile
from .operators import OPSET
from .optimised import Facts
from .repairs import repair
from .session import bind, check_types, create_session, empty, staged, to_host

#: Initializers up to this many bytes are put into the file.
_SMALL = 1024

#: The operator set that gave most operators, Conv among them, bfloat16.
_BFLOAT16 = 22


class InferenceNetwork(Network):
    """One session. What is staged is a binding of inputs and outputs that lie on the device."""

    def __init__(self, program: Program, device: str, options: Options):
        self._inputs = {tensor.name: tensor for tensor in program.inputs}
        self._outputs = program.outputs
        self._names = [tensor.name for tensor in program.outputs]
        self._plain = not any(tensor.dtype in NUMBERS for tensor in program.outputs)
        self._device = device
        self._last = None
        check_types([*program.inputs, *program.outputs], NUMBERS)
        file = _read(program)
        self._repaired = repair(file, program, device)
        self._session, self._opset = _session(file, program, device, options)
        weight_bytes = sum(array.nbytes for array in program.weights.values())
        model = file.serialise(self._opset)
        self._facts = Facts(self._session, model, device, options, program.folder, weight_bytes)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> onnxruntime.IOBinding:
        inputs = [(name, staged(arrays[name], tensor, self._device)) for name, tensor in self._inputs.items()]
        outputs = [(tensor.name, empty(tensor, self._device)) for tensor in self._outputs]
        binding = bind(self._session, inputs, outputs)
        # workaround: a binding does not keep the arrays alive that its inputs are made of
        binding.held = inputs
        return binding

    def infer(self, binding: onnxruntime.IOBinding) -> onnxruntime.IOBinding:
        self._session.run_with_iobinding(binding)
        self._last = binding
        return binding

    def fetch(self, outputs: onnxruntime.IOBinding) -> Dict[str, numpy.ndarray]:
        if self._plain:
            return dict(zip(self._names, outputs.copy_outputs_to_cpu()))
        return {tensor.name: to_host(value, tensor) for tensor, value in zip(self._outputs, outputs.get_outputs())}

    def synchronize(self) -> None:
        if self._device == "cuda" and self._last is not None:
            self._last.synchronize_outputs()

    def describe(self) -> Dict[str, Any]:
        facts = self._facts.describe(has_run=self._last is not None)
        return {**facts, "opset": self._opset, "repaired": self._repaired}

    def close(self) -> None:
        self._session = self._last = self._facts = None


def _read(program: Program) -> OnnxFile:
    """The Program's file, with its small initializers inside."""
    with open(program.onnx_path(), "rb") as stream:
        file = OnnxFile(stream.read())
    # workaround: shape inference reads no initializer that lies outside the file
    for tensor in program.initializers:
        array = program.weights[tensor.name]
        if array.nbytes <= _SMALL and tensor.dtype not in PACKED:  # the packed ones are inside already
            file.embed(tensor.name, array.tobytes())
    return file


def _session(
    file: OnnxFile, program: Program, device: str, options: Options
) -> Tuple[onnxruntime.InferenceSession, int]:
    """A session, and the operator set that it was made for.

    As every version since OPSET only added to the one before, a file that uses nothing of what was added is also one of
    an older version, and ONNX Runtime refuses it as such if it does use it. Raises `Unsupported` where no version has
    all kernels.
    """
    refusal: Optional[Unsupported] = None
    newest = max(program.opset, _BFLOAT16) if options.precision == "bf16" else program.opset
    # workaround: some kernels lag behind, registered only for an operator's version before the file's
    for opset in range(newest, OPSET - 1, -1):
        try:
            return create_session(file.serialise(opset), device, options, program.folder), opset
        except Unsupported as error:
            refusal = refusal or error
        except Exception:  # not valid as one of this older version
            if refusal is None:
                raise
    assert refusal is not None
    raise refusal
