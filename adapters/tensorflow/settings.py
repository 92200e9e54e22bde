"""What is pinned for the whole process once TensorFlow is imported, and what TensorFlow says of it.

What it reads while it is imported is pinned in this package's __init__.py.
"""

from __future__ import annotations

import os

import numpy
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled
from tensorflow.python.util import _pywrap_util_port

from ..kit.interface import Unsupported

DEVICES = {"cpu": "/CPU:0", "cuda": "/GPU:0"}

#: Threads that run operators side by side.
INTEROP_THREADS = 1


def check(device, options, modes):
    """Raise Unsupported for a mode, device or option that cannot be honoured."""
    if options.mode not in modes:
        raise Unsupported("mode {!r}; it has {}".format(options.mode, ", ".join(modes)))
    if device not in DEVICES:
        raise Unsupported("device {!r}; it has {}".format(device, ", ".join(DEVICES)))
    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise Unsupported("TensorFlow finds no GPU that it can use")
    if options.precision not in ("fp32", "tf32", "bf16", "fp16"):
        raise Unsupported("precision {!r}; it has fp32, bf16, fp16, and tf32 on a GPU".format(options.precision))
    if options.precision == "tf32" and device == "cpu":
        raise Unsupported("precision 'tf32' on a CPU")
    if device == "cuda" and not options.cudnn:
        raise Unsupported("TensorFlow has no convolutions on a GPU without cuDNN")


def configure(device, options):
    """Set what holds for the whole process; TensorFlow refuses another value once it has started."""
    gpus = tf.config.list_physical_devices("GPU")
    try:
        if gpus and device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(INTEROP_THREADS)
        for gpu in gpus if device == "cuda" else ():
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise Unsupported("TensorFlow runs already with other settings: {}".format(error)) from None
    tf.config.experimental.enable_tensor_float_32_execution(options.precision == "tf32")


def memory(device):
    """Bytes by TensorFlow's own allocator on a device of `DEVICES`; it counts on GPUs only."""
    if device == DEVICES["cpu"]:
        return {}
    info = tf.config.experimental.get_memory_info(device[1:])
    return {"allocated_bytes": int(info["current"]), "peak_bytes": int(info["peak"])}


def reset_peak(device):
    if device != DEVICES["cpu"]:
        tf.config.experimental.reset_memory_stats(device[1:])


def facts():
    """The build and its settings; threads are 0 until `configure` has set them."""
    build = dict(tf.sysconfig.get_build_info())
    cuda = bool(build.get("is_cuda_build", False))
    return {
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "interop_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "cpu_capability": None,
        "flush_denormals": None,
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "autotune": os.environ["TF_CUDNN_USE_AUTOTUNE"] == "1",
        "cudnn": str(build.get("cudnn_version", "")) or None if cuda else False,
        "deterministic": bool(is_op_determinism_enabled()),
        "fast_math": "fast_math=true" in os.environ["XLA_FLAGS"],
        "onednn": bool(_pywrap_util_port.IsMklEnabled()),
        "xla_flags": os.environ["XLA_FLAGS"],
        "cuda_version": str(build.get("cuda_version", "")),
    }


def has_bfloat16():
    """Whether oneDNN multiplies bfloat16 by instructions of this CPU. TensorFlow's other kernels round every sum."""
    try:
        with open("/proc/cpuinfo") as file:
            features = set(file.read().split())
    except OSError:
        return False
    return bool(_pywrap_util_port.IsMklEnabled() and features & {"avx512_bf16", "amx_bf16"})


def flushes_denormals(mode):
    """Whether a product that is too small for a normal number is zero, as a network of this mode computes it."""

    def multiply(x):
        return x * x * 1e20

    function = multiply if mode == "eager" else tf.function(multiply, jit_compile=mode == "compiled")
    return not numpy.any(function(tf.constant(numpy.full(16, 1e-30, numpy.float32))).numpy())


#: What TensorFlow does not execute as an operator of its own.
_FREE = {"Const", "Placeholder", "NoOp", "Identity", "_Arg", "_Retval"}


def operators(function):
    """Operators of a concrete function, before Grappler fuses some of them."""
    return sum(operation.type not in _FREE for operation in function.graph.get_operations())
