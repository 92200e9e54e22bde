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
    # Operators are fused where the mode says so, and not in every symbolic executor.
    "MXNET_SUBGRAPH_BACKEND": "NONE",
}

#: Where glibc's `fenv_t` holds the register that says how denormals are treated, as the index of a 32-bit word, and its
#: bits for that: on x86_64 flush to zero and denormals are zero, on 64-bit ARM both in one.
_DENORMALS = {"x86_64": (7, 0x8040), "aarch64": (0, 1 << 24)}

#: Precisions that the harness knows and MXNet does not have, and why.
_REFUSED = {
    "tf32": "MXNet 1.9 has no switch for it; NVIDIA's variable, which decides for a whole process, is set to forbid it",
    "fp16": "on a CPU MXNet multiplies no float16 matrices, and on a GPU nobody has tried this adapter in it",
    "bf16": "MXNet 1.9 has bfloat16 in a few operators of MKL-DNN only",
}

#: What MXNet's own kernels may have been compiled for; MKL-DNN and OpenBLAS look at the CPU by themselves.
_CAPABILITIES = ("SSE", "SSE2", "SSE3", "SSE4_1", "SSE4_2", "AVX", "AVX2")


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


# workaround: MXNet has no switch for denormals
def _flush_denormals():
    found = _environment()
    if found:
        library, words = found
        index, bits = _DENORMALS[platform.machine()]
        words[index] |= bits
        library.fesetenv(words)


def check(device, options):
    """Refuse options that this process was not started for, or that MXNet does not have. Raises `Unsupported`."""
    started = os.environ.get("OMP_NUM_THREADS")
    if started != str(options.threads):
        raise Unsupported(
            "MXNet takes its threads from OMP_NUM_THREADS when it starts: that was %s, %d are asked for"
            % (started, options.threads)
        )
    if options.precision in _REFUSED:
        raise Unsupported("precision %s: %s" % (options.precision, _REFUSED[options.precision]))
    if options.precision != "fp32":
        raise Unsupported("no precision %r" % options.precision)
    if device == "cuda" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
        raise Unsupported("on a GPU fp32 needs NVIDIA_TF32_OVERRIDE=0 in the worker's environment, or it is TF32")


def facts():
    """What MXNet and this process say about themselves, under the kit's names."""
    import mxnet  # not before `pin`

    features = {feature.name for feature in mxnet.runtime.Features().values() if feature.enabled}
    capabilities = [name for name in _CAPABILITIES if "CPU_" + name in features]
    cudnn = _call("libcudnn.so.8", "cudnnGetVersion") if "CUDNN" in features else False
    return {
        "threads": _call("libgomp.so.1", "omp_get_max_threads"),
        "interop_threads": int(os.environ["MXNET_CPU_WORKER_NTHREADS"]),
        "cpu_capability": capabilities[-1] if capabilities else None,
        "flush_denormals": _flushes(mxnet),
        "tf32": "CUDA" in features and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0",
        "autotune": os.environ["MXNET_CUDNN_AUTOTUNE_DEFAULT"] == "2" if "CUDNN" in features else None,
        "cudnn": cudnn,
        "deterministic": os.environ["MXNET_ENFORCE_DETERMINISM"] == "1",
        "fast_math": False,  # MXNet has no switch for it
        "engine": os.environ["MXNET_ENGINE_TYPE"],
        "features": sorted(features),
    }


def _call(library, function):
    """What a function without arguments of a library says that MXNet has loaded; None where that cannot be asked."""
    # workaround: MXNet tells neither how many threads it computes with nor which cuDNN it has
    try:
        return int(getattr(ctypes.CDLL(library), function)())
    except (OSError, AttributeError):
        return None


def _flushes(mxnet):
    """Whether the engine's thread and those of OpenMP turn what is too small for a normal float32 into 0."""
    small = mxnet.nd.full((1 << 16,), 1e-38)  # enough that MXNet shares the work among OpenMP's threads
    return float((small * 0.1 * 1e10).sum().asscalar()) == 0
