"""What JAX keeps for a whole process, set here alone, and what it says of it."""

from __future__ import annotations

import contextlib
import glob
import os

import numpy

import jax
import jax.extend
import jax.numpy as jnp

from ..kit.interface import Unsupported

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_matmul_precision", "highest")

#: What XLA may do with products of float32, by precision. The other precisions have no float32 to multiply.
_PRODUCTS = {"fp32": "highest", "tf32": "tensorfloat32", "bf16": "highest", "fp16": "highest"}


def check(device, options, modes):
    """Refuse what cannot be honoured here."""
    if options.mode not in modes:
        raise Unsupported("no mode {!r}; there are {}".format(options.mode, ", ".join(modes)))
    if device not in ("cpu", "cuda"):
        raise Unsupported("no device {!r}; there are cpu and cuda".format(device))
    if device == "cuda" and gpu() is None:
        raise Unsupported("this JAX finds no CUDA device")
    if options.precision not in _PRODUCTS:
        raise Unsupported("no precision {!r}; there are {}".format(options.precision, ", ".join(_PRODUCTS)))
    if options.precision == "tf32" and (device == "cpu" or float(gpu().compute_capability) < 8):
        raise Unsupported("tf32 needs a CUDA device of compute capability 8.0 or more")
    if device == "cuda" and not options.cudnn:
        raise Unsupported("XLA has no switch that forbids cuDNN in all of its convolutions")
    if options.threads != threads_at_start():
        raise Unsupported(
            "XLA's pools were made when JAX started, of {} threads; {} are asked for".format(
                threads_at_start(), options.threads
            )
        )


def gpu():
    """The first CUDA device, or None."""
    try:
        return jax.devices("cuda")[0]
    except RuntimeError:
        return None


def device_of(name):
    return gpu() if name == "cuda" else jax.devices("cpu")[0]


@contextlib.contextmanager
def lowering(device, options):
    """Where constants go and how products are taken, while a Program is traced or its operators are called."""
    with jax.default_device(device), jax.default_matmul_precision(_PRODUCTS[options.precision]):
        yield


def threads_at_start():
    return int(os.environ["PJRT_NPROC"])


def _pool():
    """Threads of XLA's intra-operator pool, counted by their name; None where the system does not tell it."""
    # workaround: JAX does not say how many threads it computes with.
    names = []
    for path in glob.glob("/proc/self/task/*/comm"):
        with contextlib.suppress(OSError), open(path) as file:
            names.append(file.read().strip())
    return names.count("tf_XLAEigen") or None


def flushes_denormals():
    """Whether a product that is too small for a normal number is zero, in every thread of the pool."""
    # workaround: JAX cannot be asked, so it is tried, on more than XLA leaves to one thread.
    small = jnp.full((1 << 20,), 1e-20, jnp.float32)
    return not numpy.any(jax.jit(lambda x: x * x * 1e20)(small))


def facts():
    client = jax.extend.backend.get_backend()
    return {
        "threads": _pool(),
        "interop_threads": None,
        "cpu_capability": None,
        "tf32": jax.config.jax_default_matmul_precision == "tensorfloat32",
        "autotune": "xla_gpu_autotune_level=0" not in os.environ["XLA_FLAGS"],
        "cudnn": None if gpu() else False,
        "deterministic": "xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"],
        "fast_math": "fast_math=true" in os.environ["XLA_FLAGS"],
        "platform": client.platform_version.strip(),
        "xla_flags": os.environ["XLA_FLAGS"],
    }


def memory(device):
    """Bytes by XLA's allocator, which counts on a GPU only."""
    told = device.memory_stats() or {}
    if "bytes_in_use" not in told:
        return {}
    return {"allocated_bytes": told["bytes_in_use"], "peak_bytes": told["peak_bytes_in_use"]}
