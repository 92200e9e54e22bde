"""How Caffe2 is started in this process, and which options it can honour.

Everything is set once, before the first operator runs and before any thread of Caffe2 exists.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Any, Dict, Optional

import numpy
from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace

from ..kit.interface import Options, Unsupported

#: CPU threads of this process: Caffe2 takes the number once, before anything else, so the controller sets it
#: in the environment before the process starts.
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))

#: Major compute capabilities for which the wheel's CUDA 10.2 build has native code.
CUDA_MAJORS = (3, 5, 6, 7)

CUDA = core.DeviceOption(caffe2_pb2.CUDA, 0)

#: Where glibc's fenv_t keeps the control word of a machine's floating-point unit, and the bits that flush denormals.
_CONTROL_WORDS = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}


def start() -> None:
    """Pin what a process can be told only once: denormals, and the threads of OpenMP, MKL and asynchronous nets."""
    _flush_denormals()
    workspace.GlobalInit(
        [
            "caffe2",
            "--caffe2_log_level=2",
            f"--caffe2_omp_num_threads={THREADS}",
            f"--caffe2_mkl_num_threads={THREADS}",
            f"--caffe2_net_async_thread_pool_size={THREADS}",
        ]
    )


def _flush_denormals() -> None:
    """Denormals are zero in this thread, and in every thread that it or its children start: they inherit it."""
    # workaround: Caffe2's own flags for this, caffe2_ftz and caffe2_daz, are not in its wheel, compiled without SSE3
    if platform.machine() not in _CONTROL_WORDS:
        return
    offset, bits = _CONTROL_WORDS[platform.machine()]
    library, environment = ctypes.CDLL("libm.so.6"), ctypes.create_string_buffer(64)
    library.fegetenv(environment)
    (word,) = struct.unpack_from("<I", environment, offset)
    struct.pack_into("<I", environment, offset, word | bits)
    library.fesetenv(environment)


def denormals_flushed() -> bool:
    """Whether a matrix product that all threads share has zeros where it is less than float32's smallest normal."""
    own, side = workspace.C.Workspace(), 64 * THREADS
    for name, value in (("a", 1e-30), ("b", 1e-10)):
        own.create_blob(name)._feed(numpy.full((side, side), value, numpy.float32))
    net = caffe2_pb2.NetDef(name="denormals", op=[core.CreateOperator("MatMul", ["a", "b"], ["c"])])
    net.external_input.extend(["a", "b"])
    own._create_net(net.SerializeToString()).run()
    return not numpy.asarray(own.fetch_blob("c")).any()


def check(device: str, options: Options) -> None:
    """Raise `Unsupported` for what Caffe2 cannot honour, but for the mode."""
    if device == "cuda":
        if not cuda_works():
            raise Unsupported("Caffe2 finds no GPU that its CUDA 10.2 build has native code for")
    elif device != "cpu":
        raise Unsupported(f"Caffe2 here has no device {device!r}; it has cpu and cuda")
    if options.precision != "fp32":
        raise Unsupported(f"Caffe2 computes in fp32, not in {options.precision}")
    if options.threads != THREADS:
        raise Unsupported(
            f"{options.threads} threads are asked for, but Caffe2 was started with {THREADS}: set OMP_NUM_THREADS"
        )


def pin(net: Any, library: str) -> None:
    """Run the operators of a net that is for a GPU by cuDNN, trying all its algorithms, or never by cuDNN.

    library: "cudnn" or "". Caffe2 takes another engine where an operator has none of this name.
    """
    for operator in net.op:
        operator.engine = "CUDNN" if library == "cudnn" else "DEFAULT"
        known = {argument.name for argument in operator.arg}
        if library == "cudnn" and operator.type.startswith("Conv") and "exhaustive_search" not in known:
            operator.arg.add(name="exhaustive_search", i=1)


def cuda_works() -> bool:
    if not workspace.has_cuda_support or not workspace.NumCudaDevices():
        return False
    return workspace.GetDeviceProperties(0)["major"] in CUDA_MAJORS


def describe() -> Dict[str, Any]:
    """The keys that mean the same in every adapter. CUDA 10.2 has no TF32."""
    version = workspace.C.get_build_options().get("CUDNN_VERSION") if cuda_works() else None
    return {
        "threads": THREADS,
        "interop_threads": 1,
        "cpu_capability": _capability(),
        "flush_denormals": denormals_flushed(),
        "tf32": False,
        "autotune": bool(version),
        "cudnn": version or False,
        "deterministic": not version,
        "fast_math": False,
    }


def _capability() -> Optional[str]:
    """Caffe2 does not say which kernels MKL and MKL-DNN choose; nothing but the user's own limit is known."""
    return os.environ.get("DNNL_MAX_CPU_ISA")
