"""The GPU check: what it makes of what it saw, and that it says what it lacks. What it sees needs frameworks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import suite
from harness.adapters import all_adapters
from harness.matrix import expand

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")


def states(checks):
    return {check.name: check.state for check in checks}


def launches(allowed, forbidden, device="cuda"):
    network = {"model": "lenet5", "what": "infer", "with": allowed, "without": forbidden}
    return {"device": device, "networks": [network]}


OWN = {
    "operators": ["aten::_slow_conv2d_forward"],
    "kernels": ["at::native::im2col_kernel", "ampere_sgemm_32x32_sliced"],
}
CUDNN = {"operators": ["aten::cudnn_convolution"], "kernels": ["sm80_xmma_fprop_implicit_gemm_f32f32", "elementwise"]}
UNKNOWN = {"operators": ["aten::cudnn_convolution"], "kernels": ["a_kernel_of_next_year"]}
BLIND = {"operators": ["aten::cudnn_convolution"], "kernels": []}


@pytest.mark.parametrize(
    ("allowed", "forbidden", "state", "said"),
    [
        (CUDNN, OWN, "passed", "1 of 2 kernels"),
        (CUDNN, CUDNN, "failed", "without cuDNN there was sm80_xmma_fprop"),
        (OWN, OWN, "failed", "allowed and not used"),
        (UNKNOWN, OWN, "not checked", "a_kernel_of_next_year"),
        (CUDNN, UNKNOWN, "failed", "aten::cudnn_convolution"),
        (BLIND, OWN, "not checked", "saw no kernels"),
    ],
)
def test_what_was_launched_with_and_without_cudnn(allowed, forbidden, state, said):
    import verdicts

    (check,) = verdicts.of_launches(launches(allowed, forbidden))
    assert check.state == state and said in check.said


@pytest.mark.parametrize(
    ("kernel", "cudnn"),
    [
        ("void cudnn::ops::nchwToNhwcKernel<float>", True),
        ("implicit_convolve_sgemm", True),
        ("_5x_cudnn_ampere_scudnn_winograd_128x128", True),
        ("RNN_blockPersist_fp_LSTM", True),
        ("sm90_xmma_gemm_f32f32_tf32f32_f32_tn_n", False),
        ("void at::native::im2col_kernel<float>", False),
        ("void at::native::lstm_cell_forward", False),
        ("cutlass_80_tensorop_s1688gemm_128x128", False),
    ],
)
def test_kernels_of_cudnn_are_told_from_those_of_cublas_and_torch(kernel, cudnn):
    import verdicts

    allowed = {"operators": ["aten::cudnn_convolution"], "kernels": [kernel]}
    (check,) = verdicts.of_launches(launches(allowed, OWN))
    assert (check.state == "passed") is cudnn


def test_without_a_gpu_launches_and_events_are_not_checked():
    import verdicts

    checks = [
        *verdicts.of_launches(launches(OWN, OWN, "cpu")),
        *verdicts.of_clocks(clocks(event_ns=None, device="cpu")),
    ]
    assert [check.state for check in checks] == ["not checked", "passed", "not checked"]


def clocks(wall_ns=50e6, event_ns=49.9e6, hasty_ns=5e6, late_ns=0, steps_ns=50e6, device="cuda"):
    network = {
        "model": "gemm", "what": "infer", "mode": "eager", "repetitions": 9, "wall_ns": wall_ns, "event_ns": event_ns,
        "unsynchronized_ns": hasty_ns, "late_ns": late_ns, "steps_ns": steps_ns,
    }  # fmt: skip
    return {"device": device, "networks": [network]}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, ["passed", "passed", "passed"]),
        ({"wall_ns": 45e6}, ["passed", "failed", "passed"]),  # our clock stops before the device does
        ({"wall_ns": 52e6}, ["passed", "failed", "passed"]),
        ({"late_ns": 20e6}, ["failed", "passed", "passed"]),
        ({"hasty_ns": 49e6}, ["passed", "passed", "not checked"]),
    ],
)
def test_clocks_have_to_agree(numbers, expected):
    import verdicts

    assert [check.state for check in verdicts.of_clocks(clocks(**numbers))] == expected


def cell(**changes):
    row = {
        "cell": "c", "adapter": "torch", "device": "cuda", "model": "lenet5", "scenario": "infer", "purpose": "infer",
        "mode": "eager", "precision": "fp32", "cudnn": True, "batch": 8, "status": "ok", "reason": None,
        "max_relative_error": 1e-7, "peak_device_bytes": 2**29, "joules_per_step": 0.5, "contradictions": [],
        "facts": {"ran": {"libraries": {"cuDNN": ["libcudnn.so.9", "libcudnn_cnn.so.9"]}}},
    }  # fmt: skip
    return {**row, **changes}


def without(*files, **changes):
    return cell(cudnn=False, facts={"ran": {"libraries": {"cuDNN": list(files)} if files else {}}}, **changes)


LOADED = "cuDNN on and off, loaded: torch lenet5, infer, batch 8"
MEMORY, ENERGY = "device memory of each process (NVML)", "energy of a step (NVML)"


def test_a_sound_run_passes():
    import verdicts

    cells = [cell(), without("libcudnn.so.9"), cell(precision="tf32", max_relative_error=2e-4)]
    found = states(verdicts.of_run(cells, {"gpu-0": ""}))
    assert set(found.values()) == {"passed"} and {LOADED, MEMORY, ENERGY, "torch tf32 is not fp32, cuda"} <= set(found)
    assert "torch infer: eager, fp32, without cuDNN, cuda" in found


@pytest.mark.parametrize(
    ("cells", "name", "state"),
    [
        ([cell(status="wrong", reason="off")], "torch infer: eager, fp32, cuda", "failed"),
        ([cell(status="timeout", reason="slow")], "torch infer: eager, fp32, cuda", "failed"),
        ([cell(status="unsupported", reason="no")], "torch infer: eager, fp32, cuda", "not checked"),
        ([cell(status="failed", reason="interrupted")], "torch infer: eager, fp32, cuda", "not checked"),
        ([cell(), without("libcudnn.so.9", "libcudnn_cnn.so.9")], LOADED, "not checked"),
        ([cell(facts={"ran": {"libraries": {"cuDNN": ["libcudnn.so.9"]}}}), without()], LOADED, "failed"),
        ([cell(facts={"ran": {"libraries": {}}}), without()], LOADED, "not checked"),
        ([cell()], "cuDNN on and off, loaded", "not checked"),
        ([cell(), cell(precision="tf32")], "torch tf32 is not fp32, cuda", "failed"),
        ([cell(peak_device_bytes=None, facts={"device_memory": "hidden"})], MEMORY, "not checked"),
        ([cell(peak_device_bytes=0)], MEMORY, "failed"),
        ([cell(joules_per_step=None)], ENERGY, "not checked"),
        ([cell(device="cpu")], ENERGY, "not checked"),
        ([cell(contradictions=["more than all"])], "contradictions between sources of memory", "failed"),
    ],
)
def test_what_a_run_does_not_prove(cells, name, state):
    import verdicts

    assert states(verdicts.of_run(cells, {"gpu-0": "not counted"}))[name] == state


def test_reasons_are_passed_on():
    import verdicts

    refused = cell(status="unsupported", reason="TF32 needs | a GPU")
    silent = cell(joules_per_step=None, peak_device_bytes=None, facts={"device_memory": "hidden by a container"})
    text = verdicts.summary(list(verdicts.of_run([refused, silent], {"gpu-0": "older than Volta"})))
    assert all(word in text for word in ("TF32 needs \\| a GPU", "hidden by a container", "older than Volta"))


def test_the_summary_begins_with_failures_and_decides_the_exit_code():
    import verdicts

    good, bad = verdicts.Check("good", "passed", ""), verdicts.Check("bad", "failed", "")
    unknown = verdicts.Check("unknown", "not checked", "no GPU")
    text = verdicts.summary([good, unknown, bad])
    assert text.index("bad") < text.index("unknown") < text.index("good")
    assert text.endswith("1 passed, 1 failed, 1 not checked.")
    assert verdicts.exit_code([good, unknown]) == 0 and verdicts.exit_code([good, bad]) == 1


def test_packages_that_are_missing_or_too_old_are_named():
    import gpu_check

    assert gpu_check.lacking(["numpy>=1.26", "uv>=999"]) == []  # uv is not needed
    assert gpu_check.lacking(["no-such-package>=1"]) == ["no-such-package>=1"]
    (old,) = gpu_check.lacking(["numpy>=999"])
    assert old.startswith("numpy>=999 (here is ")


def test_an_interpreter_without_the_packages_is_told_so(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    answer = subprocess.run(
        [shutil.which("sh"), ROOT / "scripts" / "gpu_check.sh", tmp_path / "out"],
        env={**os.environ, "PYTHON": str(bare), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 2 and "onnx>=" in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_the_suite_covers_what_a_gpu_has():
    torch = all_adapters()["torch"]
    cells = [
        one
        for comparison in expand(suite.load(str(ROOT / "scripts" / "gpu.toml")), [torch], {"torch": "cuda"})
        for one in comparison.cells
    ]
    assert {one.mode for one in cells} == {"eager", "compiled", "cudagraphs", "native"}
    assert {one.precision for one in cells} == {"fp32", "tf32", "bf16", "fp16"}
    assert {one.clock_scope for one in cells} == {"device", "call"} and {one.cudnn for one in cells} == {True, False}
    for scenario in ("infer", "train", "native"):
        assert {one.model for one in cells if one.scenario == scenario} == {"lenet5", "encoder", "lstm", "resnet18"}


def test_the_rehearsal_is_a_suite():
    assert suite.load(str(ROOT / "scripts" / "gpu_rehearsal.toml")).comparisons
