"""Inference: OpenVINO imports the ONNX file of the bundle and compiles it; a request is run again and again."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List

import numpy

from openvino import CompiledModel, ConstOutput, Core, InferRequest, Model, Tensor

from ..kit.interface import Network, Options
from ..kit.program import Program
from . import elements, settings
from .operators import refusal
from .refusals import refuse, refuse_other_shapes

#: Operators of the compiled model that compute nothing.
_ENDS = ("Input", "Output", "Const")

_CONVOLUTIONS = ("Convolution", "Deconvolution")

#: Orders of axes as the plugin calls them; capitals stand for axes in blocks.
_LAYOUTS = {"abc": "NCHW", "abcd": "NCHW", "abcde": "NCHW", "acb": "NHWC", "acdb": "NHWC", "acdeb": "NHWC"}


class Inference(Network):
    """A compiled model with one request. What is staged is a list of tensors on the arrays' own memory."""

    def __init__(self, core: Core, program: Program, options: Options):
        for tensor in (*program.inputs, *program.outputs):
            elements.check(tensor)
        refuse(program, options)
        model = _imported(core, program)
        refuse_other_shapes(program, model)
        self._program = program
        self._compiled = core.compile_model(model, settings.DEVICE, settings.config(options))
        self._request = self._compiled.create_infer_request()
        # Inputs that nothing reads are not in the model.
        names = [tensor.name for tensor in program.inputs]
        self._read = [names.index(_name(port, names)) for port in self._compiled.inputs]
        self._bound: List[Tensor] = []
        self._facts: Dict[str, Any] = {}

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> List[Tensor]:
        return [elements.staged(arrays[tensor.name], tensor) for tensor in self._program.inputs]

    def infer(self, staged: List[Tensor]) -> InferRequest:
        if staged is not self._bound:
            for port, index in enumerate(self._read):
                self._request.set_input_tensor(port, staged[index])
            self._bound = staged
        self._request.infer(share_outputs=True)
        return self._request

    def fetch(self, outputs: InferRequest) -> Dict[str, numpy.ndarray]:
        return {
            tensor.name: elements.fetched(outputs.get_output_tensor(index), tensor)
            for index, tensor in enumerate(self._program.outputs)
        }

    def synchronize(self) -> None:
        """A request returns when it is done."""

    def describe(self) -> Dict[str, Any]:
        if self._bound and not self._facts:
            self._facts = executed(self._compiled)
        return {**settings.describe(self._compiled), "layout": None, "operators": None, **self._facts}

    def close(self) -> None:
        self._request = self._compiled = self._bound = None


def executed(compiled: CompiledModel) -> Dict[str, Any]:
    """Facts about the graph that really runs, after all optimisations."""
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = Counter(fact["layerType"].value for fact in facts if fact["layerType"].value not in _ENDS)
    layouts = {fact["outputLayouts"].value for fact in facts if fact["layerType"].value in _CONVOLUTIONS}
    layout = "/".join(sorted({_LAYOUTS.get(name, "blocked") for name in layouts})) or None
    return {"operators": sum(kinds.values()), "kinds": dict(kinds.most_common()), "layout": layout}


def _name(port: ConstOutput, names: List[str]) -> str:
    return next(name for name in names if name in port.names)


def _imported(core: Core, program: Program) -> Model:
    """The Program's file as OpenVINO's model, with the inputs and outputs of the Program."""
    try:
        model = core.read_model(program.onnx_path())
    except RuntimeError as error:
        raise refusal(error) or error from None
    return model
