"""Caffe2, the last working version of it, which lives inside PyTorch's wheels."""

from __future__ import annotations

import os
from typing import Any, Dict, List

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.lowering import operators_of
from ..kit.program import Program
from . import elementwise, indexing, layers, recurrent, reductions, resize, shapes
from .network import NET_TYPES, InferenceNetwork, Lowered, TrainingNetwork

#: CPU threads of this process: Caffe2 takes the number once, before anything else, so the controller sets it
#: in the environment before the process starts.
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))

workspace.GlobalInit(
    [
        "caffe2",
        "--caffe2_log_level=2",
        f"--caffe2_omp_num_threads={THREADS}",
        f"--caffe2_mkl_num_threads={THREADS}",
    ]
)

OPERATORS = {
    name: function
    for module in (elementwise, shapes, indexing, resize, reductions, layers, recurrent)
    for name, function in operators_of(module).items()
}

#: Major compute capabilities for which the wheel's CUDA 10.2 build has native code.
CUDA_MAJORS = (3, 5, 6, 7)


class Caffe2Adapter(Adapter):
    def version(self) -> str:
        return f"{workspace.C.get_build_options()['TORCH_VERSION']} (in torch)"

    def devices(self) -> List[Dict[str, Any]]:
        found = [{"device": "cpu", "name": "CPU"}]
        if _cuda_works():
            found.append({"device": "cuda", "name": workspace.GetDeviceProperties(0)["name"]})
        return found

    def operators(self) -> List[str]:
        return sorted(OPERATORS)

    def load(self, program: Program, device: str, options: Options) -> Network:
        _check(device, options)
        option = core.DeviceOption(caffe2_pb2.CUDA, 0) if device == "cuda" else None
        lowered = Lowered(program, OPERATORS, _library(device, options))
        network = TrainingNetwork if program.training else InferenceNetwork
        return network(program, lowered, option, options)

    def describe(self) -> Dict[str, Any]:
        build = workspace.C.get_build_options()
        return {
            "build": {key: build[key] for key in sorted(build) if build[key] and not key.startswith("CXX")},
            "threads": THREADS,
            "operators": len(workspace.RegisteredOperators()),
        }


def _check(device: str, options: Options) -> None:
    if device == "cuda":
        if not _cuda_works():
            raise Unsupported("Caffe2 finds no GPU that its CUDA 10.2 build has native code for")
    elif device != "cpu":
        raise Unsupported(f"Caffe2 here has no device {device!r}; it has cpu and cuda")
    if options.mode not in NET_TYPES:
        raise Unsupported(f"Caffe2 has no mode {options.mode!r}; it has {', '.join(NET_TYPES)}")
    if options.mode == "plain" and device != "cpu":
        raise Unsupported("mode 'plain' is Caffe2 without IDEEP, which is for the cpu only")
    if options.precision != "fp32":
        raise Unsupported(f"Caffe2 computes in fp32, not in {options.precision}")
    if options.threads != THREADS:
        raise Unsupported(
            f"{options.threads} threads are asked for, but Caffe2 was started with {THREADS}: set OMP_NUM_THREADS"
        )


def _library(device: str, options: Options) -> str:
    """The library that does what it can, in the place of Caffe2's own kernels."""
    if device == "cuda":
        return "cudnn" if options.cudnn else ""
    return "ideep" if options.mode == "simple" else ""


def _cuda_works() -> bool:
    if not workspace.has_cuda_support or not workspace.NumCudaDevices():
        return False
    return workspace.GetDeviceProperties(0)["major"] in CUDA_MAJORS


ADAPTER = Caffe2Adapter
