"""Inference: ONNX Runtime runs the ONNX file of the bundle itself."""

from __future__ import annotations

from typing import Any, Dict

import numpy
import onnxruntime

from ..kit.interface import Network, Options
from ..kit.program import Program
from .session import bind, check_types, create_session, describe_session, empty, to_device, to_host


class InferenceNetwork(Network):
    """One session. What is staged is a binding of inputs and outputs that lie on the device."""

    def __init__(self, program: Program, device: str, options: Options):
        self._inputs = {tensor.name: tensor for tensor in program.inputs}
        self._outputs = program.outputs
        self._device = device
        self._options = options
        self._last = None
        check_types([*program.inputs, *program.outputs])
        self._session = create_session(program.onnx_path(), device, options)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> onnxruntime.IOBinding:
        inputs = [(name, to_device(arrays[name], tensor, self._device)) for name, tensor in self._inputs.items()]
        outputs = [(tensor.name, empty(tensor, self._device)) for tensor in self._outputs]
        return bind(self._session, inputs, outputs)

    def infer(self, staged: onnxruntime.IOBinding) -> onnxruntime.IOBinding:
        self._session.run_with_iobinding(staged)
        self._last = staged
        return staged

    def fetch(self, outputs: onnxruntime.IOBinding) -> Dict[str, numpy.ndarray]:
        return {tensor.name: to_host(value) for tensor, value in zip(self._outputs, outputs.get_outputs())}

    def synchronize(self) -> None:
        if self._device == "cuda" and self._last is not None:
            self._last.synchronize_outputs()

    def describe(self) -> Dict[str, Any]:
        return describe_session(self._session, self._options)

    def close(self) -> None:
        self._session = self._last = None
