"""What really ran in this process: libraries that are loaded, threads that work, variables that matter.

Asked of the kernel and of the libraries themselves, not of the adapter: nobody has to be believed.
"""

from __future__ import annotations

import ctypes
import glob
import os
import re
import time
from typing import Any, Callable, Dict, List, Optional

#: Libraries that decide how fast a framework is, by how their file names begin, under the name that users know.
_LIBRARIES = (
    ("libopenblas", "OpenBLAS"),
    ("libscipy_openblas", "OpenBLAS"),
    ("libmkl_rt", "MKL"),
    ("libmkl_core", "MKL"),
    ("libmklml", "MKL"),
    ("libblis", "BLIS"),
    ("libdnnl", "oneDNN"),
    ("libmkldnn", "oneDNN"),
    ("libgomp", "GNU OpenMP"),
    ("libiomp5", "Intel OpenMP"),
    ("libomp", "LLVM OpenMP"),
    ("libtbb", "TBB"),
    ("libcudart", "CUDA runtime"),
    ("libcublasLt", "cuBLASLt"),
    ("libcublas", "cuBLAS"),
    ("libcudnn", "cuDNN"),
    ("libcuda.", "CUDA driver"),
    ("libnvrtc", "NVRTC"),
)

#: Functions by which libraries tell how many threads they use: (function, how the library's file name begins).
_POOLS = (
    ("omp_get_max_threads", ("libgomp", "libiomp5", "libomp")),
    ("MKL_Get_Max_Threads", ("libmkl_rt", "libmkl_core", "libmklml")),
    ("openblas_get_num_threads", ("libopenblas",)),
    ("openblas_get_num_threads64_", ("libopenblas",)),
    ("scipy_openblas_get_num_threads64_", ("libscipy_openblas",)),
    ("bli_thread_get_num_threads", ("libblis",)),
)

#: Functions by which libraries tell their version as a number.
_VERSIONS = (
    ("cudnnGetVersion", "libcudnn", ctypes.c_size_t),
    ("cublasGetCudartVersion", "libcublas.", ctypes.c_size_t),
)

#: Variables that change how fast a framework is, by their first letters.
_VARIABLES = (
    "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "BLIS_", "DNNL_", "ONEDNN_", "ATEN_", "TORCH", "PYTORCH_", "XLA_",
    "TF_CUDNN_", "TF_DETERMINISTIC_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_USE_", "TF_XLA_",
    "MXNET_", "ORT_", "CAFFE2_", "THEANO_", "JAX_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "LD_PRELOAD", "MALLOC_",
)  # fmt: skip

#: Features of an x86 or ARM CPU that kernels are written for.
_FEATURES = {
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_bf16",
    "amx_int8", "amx_tile", "asimd", "asimddp", "sve", "sve2", "bf16", "i8mm",
}  # fmt: skip

#: A thread works for a network if it runs for at least this share of what the busiest thread runs.
_WORKING = 0.25


def facts(step: Callable[[], Any], synchronize: Callable[[], None], seconds: float = 0.05) -> Dict[str, Any]:
    """Everything that this module can say, while some steps are run to see which threads work."""
    paths = _mapped()
    return {
        "libraries": _libraries(paths),
        "pools": _pools(paths),
        "working_threads": _working_threads(step, synchronize, seconds),
        "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None,
        "cpu_features": _features(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "variables": _variables(),
    }


def _mapped() -> List[str]:
    """Files of shared libraries that are mapped into this process, by /proc/self/maps."""
    try:
        with open("/proc/self/maps") as file:
            entries = {line.split(None, 5)[5].strip() for line in file if line.count("/")}
    except (OSError, IndexError):
        return []
    return sorted(entry for entry in entries if ".so" in os.path.basename(entry))


def _libraries(paths: List[str]) -> Dict[str, List[str]]:
    """{name: file names, with the version that the library tells where it does}."""
    found = {}  # type: Dict[str, List[str]]
    for path in paths:
        file = os.path.basename(path)
        for prefix, name in _LIBRARIES:
            if file.startswith(prefix):
                version = _version(path, file)
                entry = "{} ({})".format(file, version) if version else file
                found.setdefault(name, []).append(entry)
                break
    return found


def _call(path: str, function: str, kind: Any) -> Any:
    """What a function without arguments of a library that is loaded already returns; None where it has none."""
    try:
        called = getattr(ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_LAZY), function)
    except (OSError, AttributeError):
        return None
    called.restype, called.argtypes = kind, []
    return called()


def _version(path: str, file: str) -> Optional[str]:
    for function, prefix, kind in _VERSIONS:
        if file.startswith(prefix):
            number = _call(path, function, kind)
            return str(number) if number else None
    if file.startswith(("libopenblas", "libscipy_openblas")):
        for function in ("openblas_get_config", "openblas_get_config64_", "scipy_openblas_get_config64_"):
            text = _call(path, function, ctypes.c_char_p)
            if text:
                return str(text.decode("ascii", "replace")).strip()
    return None


def _pools(paths: List[str]) -> Dict[str, int]:
    """{library's file name: threads that it will use}, as the libraries themselves say."""
    pools = {}
    for path in paths:
        file = os.path.basename(path)
        for function, prefixes in _POOLS:
            if file.startswith(prefixes):
                count = _call(path, function, ctypes.c_int)
                if count is not None:
                    pools[file] = count
    return pools


def _running_ns() -> Dict[str, int]:
    """{thread: nanoseconds that it has run}, by the scheduler."""
    times = {}
    for path in glob.glob("/proc/self/task/*/schedstat"):
        try:
            with open(path) as file:
                times[path] = int(file.read().split()[0])
        except (OSError, IndexError, ValueError):  # a thread that has just ended
            continue
    return times


def _working_threads(step: Callable[[], Any], synchronize: Callable[[], None], seconds: float) -> Optional[int]:
    """How many threads of this process have a part in the steps; None where the system does not say.

    Each step is waited for: an asynchronous framework is asked for more in this time than it can do in minutes.
    """
    before = _running_ns()
    deadline = time.perf_counter() + seconds
    while True:
        step()
        synchronize()
        if time.perf_counter() >= deadline:
            break
    ran = [after - before.get(thread, 0) for thread, after in _running_ns().items()]
    if not ran or max(ran) <= 0:
        return None
    return sum(1 for time_ns in ran if time_ns >= _WORKING * max(ran))


def _features() -> List[str]:
    """Features that this CPU has, of those that matter, by /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        return []
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return sorted(_FEATURES & set(found.group(1).split())) if found else []


def _variables() -> Dict[str, str]:
    """Variables that matter; of paths only the last part: a report may be published."""
    return {
        name: os.path.basename(value.rstrip("/")) if "/" in value else value
        for name, value in sorted(os.environ.items())
        if name.startswith(_VARIABLES)
    }
