"""CUDA's libraries, where they came as wheels: they lie where no dynamic linker looks."""

from __future__ import annotations

import ctypes
import glob
import os
import sysconfig

import onnxruntime

#: In the order in which they need one another.
_NEEDED = ("cuda_runtime", "cublas", "cufft", "curand", "cudnn")


def preload_cuda() -> None:
    """Load CUDA and cuDNN from the environment's wheels, if they are there, before ONNX Runtime looks for them."""
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
        return
    packages = os.path.join(sysconfig.get_paths()["purelib"], "nvidia")  # workaround: older builds cannot find wheels
    for package in _NEEDED:
        for path in sorted(glob.glob(os.path.join(packages, package, "lib", "lib*.so.*")), key=_dependency):
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


def _dependency(path: str) -> int:
    """What others of the same folder need comes first: cuBLAS needs cuBLASLt, and libcudnn opens its parts itself."""
    name = os.path.basename(path)
    return 0 if "Lt" in name else 2 if name.startswith("libcudnn.") else 1
