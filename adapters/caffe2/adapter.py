"""Caffe2, the last working version of it, which lives inside PyTorch's wheels."""

from __future__ import annotations

from typing import Any, Dict, List

from caffe2.python import workspace

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.lowering import operators_of
from ..kit.program import Program
from . import elementwise, indexing, layers, recurrent, reductions, resize, settings, shapes
from .network import NET_TYPES, InferenceNetwork, Lowered, TrainingNetwork

settings.start()

OPERATORS = {
    name: function
    for module in (elementwise, shapes, indexing, resize, reductions, layers, recurrent)
    for name, function in operators_of(module).items()
}


class Caffe2Adapter(Adapter):
    def version(self) -> str:
        return f"{workspace.C.get_build_options()['TORCH_VERSION']} (in torch)"

    def devices(self) -> List[Dict[str, Any]]:
        found = [{"device": "cpu", "name": "CPU"}]
        if settings.cuda_works():
            found.append({"device": "cuda", "name": workspace.GetDeviceProperties(0)["name"]})
        return found

    def operators(self) -> List[str]:
        return sorted(OPERATORS)

    def load(self, program: Program, device: str, options: Options) -> Network:
        _check(device, options)
        option = settings.CUDA if device == "cuda" else None
        lowered = Lowered(program, OPERATORS, _library(device, options))
        network = TrainingNetwork if program.training else InferenceNetwork
        return network(program, lowered, option, options)

    def describe(self) -> Dict[str, Any]:
        build = workspace.C.get_build_options()
        return {
            "build": {key: build[key] for key in sorted(build) if build[key] and not key.startswith("CXX")},
            **settings.describe(),
            "registered": len(workspace.RegisteredOperators()),
        }


def _check(device: str, options: Options) -> None:
    settings.check(device, options)
    if options.mode not in NET_TYPES:
        raise Unsupported(f"Caffe2 has no mode {options.mode!r}; it has {', '.join(NET_TYPES)}")
    if options.mode == "plain" and device != "cpu":
        raise Unsupported("mode 'plain' is Caffe2 without IDEEP, which is for the cpu only")


def _library(device: str, options: Options) -> str:
    """The library that does what it can, in the place of Caffe2's own kernels."""
    if device == "cuda":
        return "cudnn" if options.cudnn else ""
    # workaround: asynchronous nets crash with IDEEP, and do without
    return "ideep" if options.mode == "simple" else ""


ADAPTER = Caffe2Adapter
