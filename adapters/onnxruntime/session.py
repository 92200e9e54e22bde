"""Sessions of ONNX Runtime, and values on its devices."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import numpy
import onnxruntime

from ..kit.arrays import CARRIERS
from ..kit.interface import Options, Unsupported
from ..kit.program import Tensor

#: Graph optimisation level of each mode.
LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
}

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

#: What session creation says of an operator for which no kernel is registered.
_NO_KERNEL = re.compile(r"Could not find an implementation for (?:[\w.]+\.)?(\w+)(?:\(\d+\))? node with name '([^']*)'")


def check_options(device: str, options: Options) -> None:
    """Refuse what ONNX Runtime cannot honour. Raises `Unsupported`."""
    if device not in PROVIDERS:
        raise Unsupported(f"ONNX Runtime has no device {device!r} here; it has {', '.join(PROVIDERS)}")
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise Unsupported(f"this build of ONNX Runtime lacks {PROVIDERS[device]}; use the {device} environment")
    if options.mode not in LEVELS:
        raise Unsupported(f"ONNX Runtime has no mode {options.mode!r}; it has {', '.join(LEVELS)}")
    if options.precision not in ("fp32", "tf32"):
        raise Unsupported(f"precision {options.precision!r}: a float32 graph runs in fp32 or tf32 here")
    if options.precision == "tf32" and device != "cuda":
        raise Unsupported("precision 'tf32' exists on cuda only")
    if device == "cuda" and not options.cudnn:
        raise Unsupported("the CUDA provider of ONNX Runtime cannot run without cuDNN")


def session_options(options: Options) -> onnxruntime.SessionOptions:
    """One operator at a time, on `options.threads` threads. Spinning stays at ONNX Runtime's default (on)."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = LEVELS[options.mode]
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    return settings


def create_session(model: Union[str, bytes], device: str, options: Options) -> onnxruntime.InferenceSession:
    """A session on exactly this device. Raises `Unsupported` for a missing kernel or a silent fall back to the CPU."""
    settings = session_options(options)
    if device == "cuda":
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = onnxruntime.InferenceSession(model, settings, providers=_providers(device, options))
    except Exception as error:  # ONNX Runtime's own exceptions share no base class of their own
        raise _refusal(error) or error from None
    if session.get_providers()[0] != PROVIDERS[device]:
        raise Unsupported(f"ONNX Runtime fell back to {session.get_providers()[0]}: its CUDA libraries did not load")
    session.disable_fallback()
    return session


def describe_session(session: onnxruntime.InferenceSession, options: Options) -> Dict[str, Any]:
    """What a session really runs with."""
    settings = session.get_session_options()
    facts = {
        "providers": session.get_providers(),
        "provider_options": session.get_provider_options(),
        "graph_optimization_level": str(settings.graph_optimization_level).rsplit(".", 1)[-1],
        "execution_mode": str(settings.execution_mode).rsplit(".", 1)[-1],
        "intra_op_threads": options.threads,
        "inter_op_threads": 1,
        "intra_op_spinning": "default (on)",
    }
    on_cpu = _nodes_on_cpu(session)
    if on_cpu is not None:
        facts["nodes_on_cpu"] = on_cpu
    return facts


def check_types(tensors: Iterable[Tensor]) -> None:
    """Refuse inputs and outputs of a type that cannot cross ONNX Runtime's Python API. Raises `Unsupported`."""
    for tensor in tensors:
        if tensor.dtype in CARRIERS:
            raise Unsupported(f"{tensor.name}: numpy has no {tensor.dtype}, so ONNX Runtime cannot exchange it")


def empty(tensor: Tensor, device: str) -> onnxruntime.OrtValue:
    """Room for a tensor on the device."""
    kind = numpy.dtype(tensor.dtype).type
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(tensor.shape), kind, device, 0)


def write(value: onnxruntime.OrtValue, array: numpy.ndarray, tensor: Tensor) -> None:
    """Copy an array into a value on the device. Raises ValueError for a wrong shape."""
    if tuple(array.shape) != tensor.shape:
        raise ValueError(f"{tensor.name} has shape {list(tensor.shape)}, not {list(array.shape)}")
    value.update_inplace(numpy.asarray(array, tensor.dtype, order="C"))


def to_device(array: numpy.ndarray, tensor: Tensor, device: str) -> onnxruntime.OrtValue:
    """A copy of an array as a value on the device. Raises ValueError for a wrong shape."""
    value = empty(tensor, device)
    write(value, array, tensor)
    return value


def to_host(value: onnxruntime.OrtValue) -> numpy.ndarray:
    """A copy of a value as an array on the host."""
    return numpy.array(value.numpy())


def bind(
    session: onnxruntime.InferenceSession,
    inputs: Iterable[Tuple[str, onnxruntime.OrtValue]],
    outputs: Iterable[Tuple[str, onnxruntime.OrtValue]],
) -> onnxruntime.IOBinding:
    """Inputs and outputs by name, so that a run allocates neither and copies nothing."""
    binding = session.io_binding()
    for name, value in inputs:
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs:
        binding.bind_ortvalue_output(name, value)
    return binding


def _providers(device: str, options: Options) -> List[Any]:
    if device == "cpu":
        return [PROVIDERS["cpu"]]
    settings = {
        "device_id": "0",
        "use_tf32": "1" if options.precision == "tf32" else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    return [(PROVIDERS["cuda"], settings), PROVIDERS["cpu"]]


def _refusal(error: Exception) -> Optional[Unsupported]:
    found = _NO_KERNEL.search(str(error))
    if found is None:
        return None
    return Unsupported("ONNX Runtime has no kernel for it", operator=found.group(1), node=found.group(2) or None)


def _nodes_on_cpu(session: onnxruntime.InferenceSession) -> Optional[Dict[str, int]]:
    """Operators that a CUDA session runs on the CPU, with their counts; None where this build does not record it."""
    if session.get_providers()[0] == PROVIDERS["cpu"] or not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: Dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == PROVIDERS["cpu"]:
            for node in part.get_nodes():
                counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
