"""OpenVINO: inference only, by its own importer of ONNX files."""

from __future__ import annotations

from typing import Any, Dict, List

import openvino

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.program import Program
from . import settings
from .network import Inference
from .operators import OPERATORS


class OpenVinoAdapter(Adapter):
    def __init__(self) -> None:
        self._core = openvino.Core()

    def version(self) -> str:
        return openvino.__version__

    def devices(self) -> List[Dict[str, Any]]:
        return [{"device": "cpu", "name": "CPU"}]

    def operators(self) -> List[str]:
        return OPERATORS

    def load(self, program: Program, device: str, options: Options) -> Network:
        settings.check(self._core, device, options)
        if program.training is not None:
            raise Unsupported("OpenVINO does not train")
        return Inference(self._core, program, options)

    def describe(self) -> Dict[str, Any]:
        return settings.describe_build(self._core)


ADAPTER = OpenVinoAdapter
