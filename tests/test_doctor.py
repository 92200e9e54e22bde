"""The doctor and the devices: what can run, what cannot, why, and what to do."""

import dataclasses
import io
import time

import pynvml
import pytest
from rich.console import Console

from harness import devices, doctor
from harness.adapters import all_adapters, find_adapter
from harness.commands.doctor import show
from harness.devices import Devices, Gpu
from harness.environments import uv
from harness.errors import HarnessError

H100 = Devices((Gpu(0, "NVIDIA H100", (9, 0), 80 * 2**30),), "580.1", (13, 0))
NONE = Devices(problem="no NVIDIA GPU: NVML says 'driver not loaded'")


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))


@pytest.fixture
def pythons(monkeypatch):
    """Sets which versions of Python the machine has."""

    def pythons(*versions):
        found = {version: uv.Interpreter(f"{version}.1", f"/python{version}") for version in versions}
        monkeypatch.setattr(uv, "interpreters", lambda: found)

    return pythons


def verdicts(diagnosis):
    return {(verdict.adapter, verdict.environment): verdict for verdict in diagnosis.verdicts}


def test_it_is_quick_and_makes_nothing(tmp_path):
    begin = time.monotonic()
    diagnosis = doctor.examine(all_adapters().values())
    assert time.monotonic() - begin < 30  # 1.5 s on a quiet machine
    assert {verdict.adapter for verdict in diagnosis.verdicts} == set(all_adapters())
    assert not (tmp_path / "home").exists()
    assert {check.about for check in diagnosis.checks} >= {"uv", "Python", "GPU", "disk", "memory", "CPU", "system"}
    for verdict in diagnosis.verdicts:
        assert verdict.can_run or (verdict.reason and verdict.advice)


def test_a_python_that_is_missing(pythons, monkeypatch):
    pythons("3.11")
    monkeypatch.setattr(devices, "examine", lambda: NONE)
    found = verdicts(doctor.examine(all_adapters().values()))
    assert found["torch", "cpu"].can_run and found["torch", "cpu"].advice == "harness env sync torch --device cpu"
    assert found["caffe2", "cpu"].reason == "needs Python 3.9 or 3.8; here: 3.11" and not found["caffe2", "cpu"].can_run
    assert "uv python install 3.9" in found["caffe2", "cpu"].advice
    assert found["torch", "cuda"].reason == NONE.problem and "NVIDIA GPU" in found["torch", "cuda"].advice


def test_a_gpu_that_some_wheels_are_too_old_for(pythons, monkeypatch):
    pythons("3.11", "3.9")
    monkeypatch.setattr(devices, "examine", lambda: H100)
    found = verdicts(doctor.examine(all_adapters().values()))
    able = {adapter for (adapter, environment), verdict in found.items() if environment == "cuda" and verdict.can_run}
    assert {"torch", "tensorflow", "onnxruntime"} <= able
    assert not {"mxnet", "caffe2"} & able  # built before there was such a GPU
    assert "compute capability 9.0" in found["mxnet", "cuda"].reason
    assert found["onnxruntime", "cuda-train"].can_run, "by the PTX in its wheel"


def test_without_uv_nothing_can_be_made(monkeypatch):
    def missing():
        raise HarnessError("uv is not there", "pip install uv")

    monkeypatch.setattr(uv, "binary", missing)
    diagnosis = doctor.examine([find_adapter("null")])
    assert [verdict.reason for verdict in diagnosis.verdicts] == ["uv is not there"]
    assert not next(check for check in diagnosis.checks if check.about == "uv").ok


def test_it_is_shown(pythons, monkeypatch):
    pythons("3.11")
    monkeypatch.setattr(devices, "examine", lambda: NONE)
    written = io.StringIO()
    show(doctor.examine(all_adapters().values()), Console(width=160, file=written))
    text = written.getvalue()
    assert "caffe2 cpu: needs Python 3.9 or 3.8; here: 3.11" in text
    assert text.count("-> ") >= 2 and text.count(f": {NONE.problem}") == 1, "a shared reason is said once"


# Devices -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_80"], (8, 0), True),
        (["sm_80"], (8, 9), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_70", "compute_80"], (9, 0), True),
        (["compute_80"], (7, 5), False),
        (["sm_90a"], (9, 0), True),
        (["sm_90a"], (9, 1), False),
        (["sm_100f"], (10, 3), True),
        (["sm_100f"], (12, 0), False),
        (["sm_120"], (12, 0), True),
        ([], (9, 0), False),
    ],
)
def test_what_code_runs_where(architectures, capability, runs):
    assert devices.runs_on(architectures, capability) is runs


@pytest.mark.parametrize("value", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_no_gpu_is_a_finding_not_an_error(monkeypatch, value):
    def fail():
        raise pynvml.NVMLError(value)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    found = devices.examine()
    assert found.gpus == () and found.problem.startswith("no NVIDIA GPU: NVML says '")
    assert devices.gpus() == []


@pytest.fixture
def two_gpus(monkeypatch):
    """NVML as on a machine with two GPUs."""
    answers = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlSystemGetDriverVersion": b"580.65.06",
        "nvmlSystemGetCudaDriverVersion_v2": 13000,
        "nvmlDeviceGetCount": 2,
        "nvmlDeviceGetName": "NVIDIA H100",
        "nvmlDeviceGetCudaComputeCapability": (9, 0),
        "nvmlDeviceGetMemoryInfo": dataclasses.make_dataclass("Memory", ["total"])(80 * 2**30),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *arguments, answer=answer: answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_nvml_says(two_gpus, monkeypatch):
    found = devices.examine()
    assert [gpu.index for gpu in found.gpus] == [0, 1] and found.gpus[0].compute_capability == (9, 0)
    assert (found.driver_version, found.cuda_version, found.problem) == ("580.65.06", (13, 0), "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu.index for gpu in devices.gpus()] == [1]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert devices.examine().problem == "no NVIDIA GPU: CUDA_VISIBLE_DEVICES hides all of them"


def test_the_device_of_an_adapter():
    assert devices.choose(find_adapter("torch"), "auto", H100) == "cuda"
    assert devices.choose(find_adapter("torch"), "auto", NONE) == "cpu"
    assert devices.choose(find_adapter("torch"), "cuda", NONE) == "cuda", "asked for: its reason is to be seen"
    assert devices.choose(find_adapter("mxnet"), "auto", H100) == "cpu"
    assert devices.choose(find_adapter("null"), "cuda", H100) == "cpu"
    with pytest.raises(HarnessError, match="'gpu'"):
        devices.choose(find_adapter("torch"), "gpu")
