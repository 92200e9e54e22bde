"""ONNX Runtime: inference by its own session, training by the gradient graph of its training package."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as library

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.program import Program
from . import operators
from .inference import InferenceNetwork
from .settings import PROVIDERS, check_options, describe_pins

#: Only the training package has a gradient builder.
CAN_TRAIN = hasattr(library, "GradientGraphBuilder")

# workaround: the builders of training graphs report each of their passes, though by default only warnings are to be.
onnxruntime.set_default_logger_severity(3)


class OnnxRuntimeAdapter(Adapter):
    def version(self) -> str:
        return onnxruntime.__version__

    def devices(self) -> List[Dict[str, Any]]:
        found = [{"device": "cpu", "name": "CPU"}]
        if _cuda_works():
            found.append({"device": "cuda", "name": "CUDA device 0"})
        return found

    def operators(self) -> List[str]:
        return operators.trainable() if CAN_TRAIN else operators.executable()

    def load(self, program: Program, device: str, options: Options) -> Network:
        check_options(device, options)
        if program.training is None:
            return InferenceNetwork(program, device, options)
        if not CAN_TRAIN:
            raise Unsupported("this build of ONNX Runtime cannot train; its training package can")
        from .training import TrainingNetwork

        return TrainingNetwork(program, device, options)

    def describe(self) -> Dict[str, Any]:
        return {
            "version": onnxruntime.__version__,
            "build": onnxruntime.get_build_info(),
            **describe_pins(),
            "providers": onnxruntime.get_available_providers(),
        }


def _cuda_works() -> bool:
    if PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return False
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(numpy.zeros(1, numpy.float32), "cuda", 0)
    except Exception:  # the CUDA libraries or the driver are missing
        return False
    return True


ADAPTER = OnnxRuntimeAdapter
