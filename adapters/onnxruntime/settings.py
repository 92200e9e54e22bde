"""How every session is set, for all networks alike, and what a session says of it.

Sessions have thread pools of their own; only how the calling thread treats denormals belongs to the whole process, and
is what the first session of the process was told.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import Any, Dict, List, Optional

import numpy
import onnxruntime

from ..kit.interface import Options, Unsupported
from ..kit.wire import NATIVE_MODE
from .trial import product

#: Graph optimisation level of each mode.
LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    NATIVE_MODE: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

#: The precisions in which a Program's own tensors are shorter than float32.
SHORT = ("bf16", "fp16")

PRECISIONS = ("fp32", "tf32", *SHORT)

_DENORMALS, _SPINNING = "session.set_denormal_as_zero", "session.intra_op.allow_spinning"

#: Settings by which results would be approximated; all are off by default.
_LOOSE = ("optimization.enable_gelu_approximation", "mlas.enable_gemm_fastmath_arm64_bfloat16")

#: Pinned in every session. Idle threads of a pool spin, which is ONNX Runtime's default and its best users' choice.
_PINS = {_DENORMALS: "1", _SPINNING: "1", **dict.fromkeys(_LOOSE, "0")}

#: Elements of a product that is shared out among all threads.
_MANY = 1 << 20


def check_options(device: str, options: Options) -> None:
    """Refuse what ONNX Runtime cannot honour. Raises `Unsupported`."""
    if device not in PROVIDERS:
        raise Unsupported(f"ONNX Runtime has no device {device!r} here; it has {', '.join(PROVIDERS)}")
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise Unsupported(f"this build of ONNX Runtime lacks {PROVIDERS[device]}; use the {device} environment")
    if options.mode not in LEVELS:
        raise Unsupported(f"ONNX Runtime has no mode {options.mode!r}; it has {', '.join(LEVELS)}")
    if options.precision not in PRECISIONS:
        raise Unsupported(f"ONNX Runtime has no precision {options.precision!r}; it has {', '.join(PRECISIONS)}")
    if options.precision == "tf32" and device != "cuda":
        raise Unsupported("precision 'tf32' exists on cuda only")
    if options.precision in SHORT and device == "cpu":
        raise Unsupported(f"ONNX Runtime has no CPU kernels for {options.precision}, and casts to float32 where it can")
    if device == "cuda" and not options.cudnn:
        raise Unsupported("the CUDA provider of ONNX Runtime cannot run without cuDNN")


def session_options(options: Options) -> onnxruntime.SessionOptions:
    """One operator at a time, on `options.threads` threads."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = LEVELS[options.mode]
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.use_deterministic_compute = False
    settings.log_severity_level = 3
    pin(settings)
    if options.precision in SHORT:  # or what CUDA lacks would be computed on the CPU, in float32
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return settings


def pin(settings: onnxruntime.SessionOptions) -> None:
    """What holds for sessions of every kind, also of those that only try something out."""
    for key, value in _PINS.items():
        settings.add_session_config_entry(key, value)


def providers(device: str, options: Options) -> List[Any]:
    if device == "cpu":
        return [PROVIDERS["cpu"]]
    settings = {
        "device_id": "0",
        "use_tf32": "1" if options.precision == "tf32" else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    return [(PROVIDERS["cuda"], settings), PROVIDERS["cpu"]]


def describe(session: onnxruntime.InferenceSession) -> Dict[str, Any]:
    """What a session says it runs with."""
    return {
        "providers": session.get_providers(),
        **describe_options(session.get_session_options()),
        **_cuda_facts(session.get_provider_options()),
    }


def describe_pins() -> Dict[str, Any]:
    """The same of all sessions, before there is one: their number of threads depends on the network."""
    settings = onnxruntime.SessionOptions()
    pin(settings)
    return {**describe_options(settings), "threads": None, "interop_threads": 1, "tf32": None, "autotune": None}


def describe_options(settings: onnxruntime.SessionOptions) -> Dict[str, Any]:
    """What session options say, read back."""
    return {
        "graph_optimization_level": str(settings.graph_optimization_level).rsplit(".", 1)[-1],
        "execution_mode": str(settings.execution_mode).rsplit(".", 1)[-1],
        "threads": settings.intra_op_num_threads,
        "interop_threads": settings.inter_op_num_threads,
        "cpu_capability": None,  # its kernels choose by the CPU, and do not say what
        "flush_denormals": settings.get_session_config_entry(_DENORMALS) == "1",
        "spinning": settings.get_session_config_entry(_SPINNING) == "1",
        "deterministic": settings.use_deterministic_compute,
        "fast_math": any(settings.get_session_config_entry(key) == "1" for key in _LOOSE),
    }


def _cuda_facts(given: Dict[str, Dict[str, str]]) -> Dict[str, Any]:
    """given: the options of each provider of a session, as it tells them."""
    cuda = given.get(PROVIDERS["cuda"])
    if cuda is None:
        return {"tf32": False, "autotune": False, "cudnn": False}
    return {
        "tf32": cuda.get("use_tf32") != "0",
        "autotune": cuda.get("cudnn_conv_algo_search") == "EXHAUSTIVE",
        "cudnn": _cudnn_version(),
        "provider_options": cuda,
    }


def _cudnn_version() -> Optional[int]:
    """Asked of the library that is loaded; None where it cannot be found."""
    # workaround: ONNX Runtime does not tell which cuDNN it has loaded
    for version in ("9", "8"):
        try:
            library = ctypes.CDLL(f"libcudnn.so.{version}", mode=getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_LAZY)
            library.cudnnGetVersion.restype = ctypes.c_size_t
            return int(library.cudnnGetVersion())
        except (OSError, AttributeError):
            continue
    return None


@lru_cache(maxsize=None)
def flushes_denormals(threads: int) -> bool:
    """Do all threads of a session like ours take denormals for zero, and make none?"""
    # workaround: how a thread treats denormals cannot be asked of ONNX Runtime, so it is tried
    options = Options("basic", threads=threads)
    session = onnxruntime.InferenceSession(product(), session_options(options), providers=[PROVIDERS["cpu"]])
    taken = numpy.full(_MANY, 1, numpy.int32).view(numpy.float32), numpy.full(_MANY, 1e30, numpy.float32)
    made = numpy.full(_MANY, 1e-30, numpy.float32), numpy.full(_MANY, 1e-10, numpy.float32)
    return not any(session.run(None, dict(zip("ab", pair)))[0].view(numpy.int32).any() for pair in (taken, made))
