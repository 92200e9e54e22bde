"""What torch keeps for a whole process: threads, denormals, TF32, cuDNN. Set here alone, read back from torch."""

from __future__ import annotations

import re
import sys
from typing import Any, Dict, List

import torch

from ..kit.interface import Options, Unsupported

#: Elements a thread, of which torch shares out an elementwise operation among its pool.
_SHARE = 1 << 15


def start() -> None:
    """What holds for every network. To be called before torch starts a thread."""
    # workaround: torch sets this for the calling thread only; threads inherit it from their maker.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = False
    # Shapes are static, so that cuDNN's search runs once a layer, while warming up; those who know set it.
    torch.backends.cudnn.benchmark = True
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


def check(device: str, options: Options) -> None:
    """Refuse a device, or a precision of its products, that is not here."""
    if device not in ("cpu", "cuda"):
        raise Unsupported(f"no device {device!r}; there are cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise Unsupported("this torch finds no CUDA device")
    if options.precision == "tf32" and (device == "cpu" or torch.cuda.get_device_capability() < (8, 0)):
        raise Unsupported("TF32 needs a CUDA device of compute capability 8.0 or more")


_last: List[Options] = []


def use(options: Options) -> None:
    """Set what these options say, unless the last network that ran wanted the same."""
    if _last == [options]:
        return
    _last[:] = [options]
    tf32 = options.precision == "tf32"
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.enabled = options.cudnn


def flushes_denormals() -> bool:
    """Do all threads of the pool take denormals for zero, and make none?"""
    # workaround: torch cannot be asked, so it is tried.
    count = torch.get_num_threads() * _SHARE
    taken = torch.full((count,), 1, dtype=torch.int32).view(torch.float32) * 1e30
    made = torch.full((count,), 1e-30) * 1e-10
    return not (taken.view(torch.int32).any() or made.view(torch.int32).any())


def _compiler_is_loose() -> bool:
    """May torch.compile's code reorder or approximate? torch's own kernels have no such switch."""
    compiler = sys.modules.get("torch._inductor.config")
    return compiler is not None and bool(compiler.use_fast_math or compiler.cpp.enable_unsafe_math_opt_flag)


def pins() -> Dict[str, Any]:
    """What frameworks set differently if left alone, as it is now."""
    cudnn = torch.backends.cudnn
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "flush_denormals": flushes_denormals(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or cudnn.allow_tf32,
        "autotune": cudnn.benchmark,
        "cudnn": cudnn.is_available() and cudnn.enabled and cudnn.version(),
        "deterministic": torch.are_deterministic_algorithms_enabled() or cudnn.deterministic,
        "fast_math": _compiler_is_loose(),
    }


def describe() -> Dict[str, Any]:
    """The pins, and how this torch was built."""
    facts = {
        **pins(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        # workaround: torch tells its oneDNN and its BLAS only within a text for people.
        "mkldnn_version": re.findall(r"MKL-DNN v([\d.]+)", torch.__config__.show()),
        "mkl": torch.backends.mkl.is_available(),
        "openmp": torch.backends.openmp.is_available(),
        "blas": re.findall(r"BLAS_INFO=(\w+)", torch.__config__.show()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if torch.version.cuda:
        facts.update(cuda=torch.version.cuda, cuda_architectures=torch.cuda.get_arch_list())
    return facts


def memory(device: torch.device) -> Dict[str, int]:
    """Bytes of torch's own allocator, which counts on a CUDA device only."""
    if device.type != "cuda":
        return {}
    statistics = torch.cuda.memory_stats()
    return {
        "allocated_bytes": statistics["allocated_bytes.all.current"],
        "peak_bytes": statistics["allocated_bytes.all.peak"],
    }


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
