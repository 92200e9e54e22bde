"""What is pinned before MXNet starts, since frameworks differ in it. Import this module before mxnet.

MXNet 1.9 reads its settings from variables, most of them once, when it is loaded or first uses them. Whether a thread
flushes denormals is a register of the CPU that a new thread takes over from the one that made it: set before MXNet
makes its engine's threads, OpenMP's and OpenBLAS's, it holds in all of them.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform

from ..kit.interface import Unsupported

VARIABLES = {
    # One operator at a time, as everywhere; it may use `threads` threads of OpenMP.
    "MXNET_ENGINE_TYPE": "ThreadedEnginePerDevice",
    "MXNET_CPU_WORKER_NTHREADS": "1",
    "MXNET_GPU_WORKER_NTHREADS": "1",
    # cuDNN measures its algorithms and takes the fastest, whatever workspace that needs.
    "MXNET_CUDNN_AUTOTUNE_DEFAULT": "2",
    # Products of float32 are not turned into float16's on tensor cores.
    "MXNET_CUDA_TENSOR_OP_MATH_ALLOW_CONVERSION": "0",
    "MXNET_ENFORCE_DETERMINISM": "0",
}

#: Where glibc's `fenv_t` holds the register that says how denormals are treated, as the index of a 32-bit word, and its
#: bits for that: on x86_64 flush to zero and denormals are zero, on 64-bit ARM both in one.
_DENORMALS = {"x86_64": (7, 0x8040), "aarch64": (0, 1 << 24)}


def pin():
    """Set everything that this module pins, for MXNet that is loaded later by the same thread."""
    os.environ.update(VARIABLES)
    _flush_denormals()


def _environment():
    """The C library's mathematics and this thread's floating-point environment; None where that is unknown."""
    if platform.machine() not in _DENORMALS or platform.libc_ver()[0] != "glibc":
        return None
    library, words = ctypes.CDLL(ctypes.util.find_library("m")), (ctypes.c_uint32 * 8)()
    return (library, words) if library.fegetenv(words) == 0 else None


def _flush_denormals():
    found = _environment()
    if found:
        library, words = found
        index, bits = _DENORMALS[platform.machine()]
        words[index] |= bits
        library.fesetenv(words)


def check(device, options):
    """Refuse options that this process was not started for. Raises `Unsupported`."""
    started = os.environ.get("OMP_NUM_THREADS")
    if started != str(options.threads):
        raise Unsupported(
            "MXNet takes its threads from OMP_NUM_THREADS when it starts: that was %s, %d are asked for"
            % (started, options.threads)
        )
    if device == "cuda" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
        raise Unsupported("on a GPU fp32 needs NVIDIA_TF32_OVERRIDE=0 in the worker's environment, or it is TF32")


def facts():
    """What MXNet and this process say about themselves, under the kit's names."""
    return {}
