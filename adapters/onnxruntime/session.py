"""Sessions of ONNX Runtime, and values on its devices."""

from __future__ import annotations

import ctypes
import os
import re
from typing import Dict, Iterable, Optional, Tuple, Union

import numpy
import onnxruntime

from ..kit.arrays import CARRIERS, carrier
from ..kit.interface import Options, Unsupported
from ..kit.program import Tensor
from .elements import NUMBERS, from_bytes, to_bytes
from .settings import PROVIDERS, providers, session_options

#: What session creation says of an operator for which no kernel is registered, or none for its element types.
_NO_KERNEL = re.compile(
    r"(?:Could not find an implementation|Failed to find kernel) for (?:[\w.]+\.)?(\w+)(?:\(\d+\))?"
    r" (?:node with name |\(node:)'([^']*)'"
)

#: What it says where a node would run on the CPU although that is forbidden.
_FALLBACK = "fallback to CPU EP has been explicitly disabled"


def create_session(
    model: Union[str, bytes], device: str, options: Options, folder: str = "", optimised: str = ""
) -> onnxruntime.InferenceSession:
    """A session on exactly this device.

    folder: where the files are that a model in memory names. optimised: a file to write the optimised graph to.
    Raises `Unsupported` for a missing kernel or a silent fall back to the CPU.
    """
    settings = session_options(options)
    if folder:
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    if optimised:
        settings.optimized_model_filepath = optimised
        weights = os.path.basename(optimised) + ".weights"
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    if device == "cuda":
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = onnxruntime.InferenceSession(model, settings, providers=providers(device, options))
    # workaround: ONNX Runtime's own exceptions share no base class, and only their text names the operator
    except Exception as error:
        raise _refusal(error) or error from None
    # workaround: a session whose CUDA libraries do not load falls back to the CPU and raises nothing
    if session.get_providers()[0] != PROVIDERS[device]:
        raise Unsupported(f"ONNX Runtime fell back to {session.get_providers()[0]}: its CUDA libraries did not load")
    session.disable_fallback()
    return session


def check_types(tensors: Iterable[Tensor], extra: Iterable[str] = ()) -> None:
    """Refuse inputs and outputs of a type that cannot cross to ONNX Runtime. Raises `Unsupported`.

    extra: element types that numpy lacks and the caller can do with all the same.
    """
    for tensor in tensors:
        if tensor.dtype not in extra and not _in_numpy(tensor.dtype):
            raise Unsupported(f"{tensor.name}: an array of {tensor.dtype} cannot be given to ONNX Runtime")


def empty(tensor: Tensor, device: str) -> onnxruntime.OrtValue:
    """Room for a tensor on the device."""
    kind = NUMBERS.get(tensor.dtype) or numpy.dtype(tensor.dtype).type
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(tensor.shape), kind, device, 0)


def write(value: onnxruntime.OrtValue, array: numpy.ndarray, tensor: Tensor) -> None:
    """Copy an array into a value on the device. Raises ValueError for a wrong shape."""
    if tuple(array.shape) != tensor.shape:
        raise ValueError(f"{tensor.name} has shape {list(tensor.shape)}, not {list(array.shape)}")
    if tensor.dtype in NUMBERS:
        value.update_inplace(_wrapped(array, tensor))
    else:
        value.update_inplace(numpy.asarray(array, tensor.dtype, order="C"))


def to_device(array: numpy.ndarray, tensor: Tensor, device: str) -> onnxruntime.OrtValue:
    """A copy of an array as a value on the device. Raises ValueError for a wrong shape."""
    value = empty(tensor, device)
    write(value, array, tensor)
    return value


def staged(array: numpy.ndarray, tensor: Tensor, device: str) -> onnxruntime.OrtValue:
    """An array as a value on the device: on a CPU it is the array itself, which lives as long as the value.

    Raises ValueError for a wrong shape.
    """
    if tensor.dtype in NUMBERS or tuple(array.shape) != tensor.shape:
        return to_device(array, tensor, device)
    array = numpy.asarray(array, tensor.dtype, order="C")
    return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)


def to_host(value: onnxruntime.OrtValue, tensor: Optional[Tensor] = None) -> numpy.ndarray:
    """A copy of a value as an array on the host. tensor: what it is, where numpy may lack its element type."""
    if tensor is None or tensor.dtype not in NUMBERS:
        return numpy.array(value.numpy())
    here = empty(tensor, "cpu")
    here.update_inplace(value)
    size = here.tensor_size_in_bytes()
    raw = (ctypes.c_uint8 * size).from_address(here.data_ptr()) if size else []
    return from_bytes(numpy.array(raw, numpy.uint8), tensor)


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


def _in_numpy(dtype: str) -> bool:
    try:
        return numpy.dtype(dtype).kind in "biufc" and dtype not in CARRIERS
    except TypeError:
        return False


def _wrapped(array: numpy.ndarray, tensor: Tensor) -> onnxruntime.OrtValue:
    """A value on the host."""
    raw = to_bytes(array, tensor.dtype)
    # workaround: it is to have as many bytes as elements even where elements share bytes
    room = numpy.zeros(tensor.shape, carrier(tensor.dtype))
    room.reshape(-1).view(numpy.uint8)[: raw.size] = raw
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(room, NUMBERS[tensor.dtype])


def _refusal(error: Exception) -> Optional[Unsupported]:
    if _FALLBACK in str(error):
        return Unsupported("the CUDA provider of ONNX Runtime lacks a kernel for it in this precision")
    found = _NO_KERNEL.search(str(error))
    if found is None:
        return None
    return Unsupported("ONNX Runtime has no kernel for it", operator=found.group(1), node=found.group(2) or None)


def nodes_on_cpu(session: onnxruntime.InferenceSession) -> Optional[Dict[str, int]]:
    """Operators that a CUDA session runs on the CPU, with their counts; None where this build does not record it."""
    if session.get_providers()[0] == PROVIDERS["cpu"] or not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: Dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == PROVIDERS["cpu"]:
            for node in part.get_nodes():
                counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
