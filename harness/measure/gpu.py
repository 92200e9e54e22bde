"""What NVML counts while something runs: a process's memory on the GPUs, and the energy that they took."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any

from harness import devices


class Nvml:
    """NVIDIA's management library, held open. problem: why it cannot be asked, or "".

    library: what has NVML's functions; the module pynvml if None. Only GPUs that CUDA_VISIBLE_DEVICES leaves are asked.
    """

    def __init__(self, library: Any = None):
        import pynvml

        library = library or pynvml
        self._library = library
        self._handles: dict[int, Any] = {}
        self.problem = ""
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            self.problem = _says(error)
            return
        try:
            numbers = [number for number in range(library.nvmlDeviceGetCount()) if devices.visible(number)]
            self._handles = {number: library.nvmlDeviceGetHandleByIndex(number) for number in numbers}
        except library.NVMLError as error:
            self.problem = _says(error)
        if not self._handles:
            self.problem = self.problem or "NVML finds no GPU that may be used"
            self.close()

    def close(self) -> None:
        """Let go of the library; it is not asked afterwards."""
        self._handles = {}
        with suppress(self._library.NVMLError):
            self._library.nvmlShutdown()

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def process_bytes(self, pid: int) -> tuple[int | None, str]:
        """Device memory that a process holds now, on all GPUs together, and why that cannot be told, or "".

        It holds CUDA's own context too. NVML numbers processes as the host does: from inside a container with process
        numbers of its own, a process cannot be found, and nothing is said.
        """
        if self.problem:
            return None, self.problem
        try:
            listed = [process for handle in self._handles.values() for process in self._processes(handle)]
        except self._library.NVMLError as error:
            return None, _says(error)
        sizes = [process.usedGpuMemory for process in listed if process.pid == pid]
        if not sizes:
            reason = f"process {pid} is not among the {len(listed)} that NVML lists"
            return None, f"{reason}: it has nothing on a GPU, or a container hides its number"
        if any(size is None for size in sizes):
            return None, "NVML lists the process, but not how much memory it holds"
        return sum(sizes), ""

    def _processes(self, handle: Any) -> list[Any]:
        return list(self._library.nvmlDeviceGetComputeRunningProcesses(handle))

    def energy(self) -> dict[str, int | str]:
        """{"gpu-0": energy that it took since its driver was loaded, in mJ, or why that cannot be told}.

        GPUs older than Volta do not count it.
        """
        told: dict[str, int | str] = {}
        for number, handle in self._handles.items():
            try:
                told[f"gpu-{number}"] = int(self._library.nvmlDeviceGetTotalEnergyConsumption(handle))
            except self._library.NVMLError as error:
                told[f"gpu-{number}"] = _says(error)
        return told


def _says(error: Exception) -> str:
    return f"NVML says {str(error).lower()!r}"
