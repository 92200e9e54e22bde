"""The GPUs of this machine, as NVIDIA's management library sees them. No framework, and no failure without a GPU."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.adapters import DEVICES, AdapterSpec
from harness.errors import HarnessError, did_you_mean


@dataclass(frozen=True)
class Gpu:
    """compute_capability: (major, minor). memory_bytes: all of its memory."""

    index: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int


@dataclass(frozen=True)
class Devices:
    """What NVML found. cuda_version: the newest CUDA that the driver supports. problem: why there is no GPU, or ""."""

    gpus: tuple[Gpu, ...] = ()
    driver_version: str = ""
    cuda_version: tuple[int, int] | None = None
    problem: str = ""


def examine() -> Devices:
    """Ask NVML. Never raises: what went wrong is in `problem`."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Devices(problem=f"no NVIDIA GPU: NVML says {str(error).lower()!r}")
    try:
        return _ask(pynvml)
    except pynvml.NVMLError as error:
        return Devices(problem=f"the NVIDIA GPU does not answer: NVML says {str(error).lower()!r}")
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def gpus() -> list[Gpu]:
    """The GPUs that a process of ours would see."""
    return list(examine().gpus)


def _ask(pynvml: Any) -> Devices:
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    version = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    cuda = (version // 1000, version % 1000 // 10)
    found = tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    usable = tuple(gpu for gpu in found if visible(gpu.index))
    if not found:
        return Devices((), driver, cuda, "no NVIDIA GPU: NVML says there is none")
    if not usable:
        return Devices((), driver, cuda, "no NVIDIA GPU: CUDA_VISIBLE_DEVICES hides all of them")
    return Devices(usable, driver, cuda)


def _gpu(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(index, _text(pynvml.nvmlDeviceGetName(handle)), (int(major), int(minor)), memory)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def visible(index: int) -> bool:
    """Whether CUDA_VISIBLE_DEVICES lets a process use a GPU. Identifiers other than numbers are not judged."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return True
    names = [name.strip() for name in value.split(",")]
    if all(re.fullmatch(r"-?\d*", name) for name in names):
        return str(index) in names
    return True


def runs_on(architectures: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether code compiled for these architectures runs on a GPU of this compute capability.

    `sm_XY` is machine code: it runs on X.Y and on later minor versions of X. `sm_XYa` runs on X.Y only, `sm_XYf` on
    the same major version from X.Y. `compute_XY` is PTX: the driver compiles it for X.Y and everything later.
    (NVIDIA, CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".)
    """
    return any(_fits(architecture, capability) for architecture in architectures)


def _fits(architecture: str, capability: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
    if match is None:
        return False
    kind, suffix = match[1], match[4]
    built_for = (int(match[2]), int(match[3]))
    if suffix == "a":
        return capability == built_for
    if kind == "compute" and not suffix:
        return capability >= built_for
    return capability[0] == built_for[0] and capability[1] >= built_for[1]


def obstacle(architectures: Iterable[str], cuda: str, devices: Devices) -> str:
    """Why wheels with this GPU code and this CUDA runtime cannot run here; "" if they can."""
    if devices.problem:
        return devices.problem
    gpu, architectures = devices.gpus[0], list(architectures)
    if architectures and not runs_on(architectures, gpu.compute_capability):
        has = ", ".join(architectures)
        return f"{gpu.name} has compute capability {_dotted(gpu.compute_capability)}; its wheels have code for {has}"
    if cuda and devices.cuda_version and int(cuda.partition(".")[0]) > devices.cuda_version[0]:
        supported = _dotted(devices.cuda_version)
        return f"its wheels need CUDA {cuda}; driver {devices.driver_version} supports CUDA up to {supported}"
    return ""


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def choose(adapter: AdapterSpec, wanted: str, found: Devices | None = None) -> str:
    """The device for an adapter: the one that is wanted; for "auto" a GPU, if one of its cuda environments can use it.

    An adapter without an environment for the wanted device gets one that it has: its cells name their device.
    Raises HarnessError for a device that nobody has.
    """
    if wanted not in ("auto", *DEVICES):
        raise HarnessError(f"no device is called {wanted!r}", did_you_mean(wanted, ["auto", *DEVICES]))
    if wanted in adapter.devices:
        return wanted
    if wanted != "auto":
        return adapter.devices[0]
    cuda = [spec for spec in adapter.environments if spec.device == "cuda"]
    if cuda and found is None:
        found = examine()
    if any(not obstacle(spec.gpu_architectures, spec.cuda, found) for spec in cuda if found is not None):
        return "cuda"
    return "cpu" if "cpu" in adapter.devices else adapter.devices[0]
