"""How every model is compiled, and what a compiled model says of it."""

from __future__ import annotations

from typing import Any, Dict

import openvino
from openvino import CompiledModel, Core, Type, properties
from openvino.properties import hint, intel_cpu

from ..kit.interface import Options, Unsupported
from ..kit.wire import NATIVE_MODE

DEVICE = "CPU"

#: A single request at a time, on all threads.
MODE = "latency"

#: The type in which floating point numbers are computed.
PRECISIONS = {"fp32": Type.f32, "bf16": Type.bf16}

_BFLOAT16 = "BF16"


def check(core: Core, device: str, options: Options) -> None:
    """Refuse what OpenVINO cannot honour. Raises `Unsupported`."""
    if device != "cpu":
        raise Unsupported(f"no device {device!r}: of GPUs, OpenVINO has a plugin for Intel's only; it has cpu here")
    if options.mode not in (MODE, NATIVE_MODE):
        raise Unsupported(f"OpenVINO has no mode {options.mode!r} here; it has {MODE}")
    if options.precision not in PRECISIONS:
        raise Unsupported(f"OpenVINO has no precision {options.precision!r} here; it has {', '.join(PRECISIONS)}")
    if options.precision == "bf16" and _BFLOAT16 not in capabilities(core):
        raise Unsupported("OpenVINO computes in bf16 only on a CPU that has instructions for it")


def capabilities(core: Core) -> Any:
    return core.get_property(DEVICE, properties.device.capabilities)


def config(options: Options) -> Dict[Any, Any]:
    """The properties by which a model is compiled."""
    precision = PRECISIONS[options.precision]
    return {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.inference_precision: precision,
        # Neither quantised on the way, which is the default, nor kept shorter.
        hint.dynamic_quantization_group_size: 0,
        hint.kv_cache_precision: precision,
        properties.num_streams: 1,
        properties.inference_num_threads: options.threads,
        intel_cpu.denormals_optimization: True,
    }


def describe(compiled: CompiledModel) -> Dict[str, Any]:
    """What a compiled model says it runs with."""
    quantised = compiled.get_property(hint.dynamic_quantization_group_size)
    return {
        "graph": "compiled model",
        "threads": compiled.get_property(properties.inference_num_threads),
        "interop_threads": compiled.get_property(properties.num_streams),
        "flush_denormals": compiled.get_property(intel_cpu.denormals_optimization),
        "precision": compiled.get_property(hint.inference_precision).get_type_name(),
        "performance_mode": str(compiled.get_property(hint.performance_mode)),
        "cpu_pinning": compiled.get_property(hint.enable_cpu_pinning),
        "fast_math": bool(quantised),
        "tf32": False,
        "autotune": False,
        "cudnn": False,
        "deterministic": None,
    }


def describe_build(core: Core) -> Dict[str, Any]:
    """The same of all models, before there is one."""
    return {
        "build": openvino.get_version(),
        "capabilities": sorted(capabilities(core)),
        "cpu_capability": None,
        "threads": None,
        "interop_threads": 1,
        "flush_denormals": None,
        "tf32": False,
        "autotune": False,
        "cudnn": False,
        "deterministic": None,
        "fast_math": False,
    }
