"""Synthetic journals, for tests of everything that reads one. Their figures are invented: nothing was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from harness.journal import FILE_NAME, Journal

#: How many times as long as torch each adapter takes here.
SLOWNESS = {"torch": 1.0, "tensorflow": 1.3, "mxnet": 1.02, "caffe2": 1.9, "onnxruntime": 0.6, "null": 0.002}
VERSIONS = {
    "torch": "2.13.0",
    "tensorflow": "2.21.0",
    "mxnet": "1.9.1",
    "caffe2": "1.10.2",
    "onnxruntime": "1.32.0",
    "null": "1",
}
MODES = {"torch": "eager", "tensorflow": "graph", "mxnet": "graph", "caffe2": "graph", "onnxruntime": "graph"}
PARAMETERS = {"mlp": 535_818, "lenet5": 61_706, "resnet_cifar": 272_474, "transformer": 1_203_720}
STEP_NS = {"mlp": 90e3, "lenet5": 400e3, "resnet_cifar": 6.2e6, "transformer": 21e6}
COLD_SECONDS = {
    "torch": (0.03, 1.9, 0.05, 0.02),
    "tensorflow": (0.03, 4.7, 0.4, 0.6),
    "mxnet": (0.03, 0.9, 0.1, 0.2),
    "caffe2": (0.03, 1.2, 0.1, 0.05),
    "onnxruntime": (0.03, 0.2, 0.08, 0.01),
    "null": (0.03, 0.08, 0.001, 0.0001),
}
COLD_PHASES = ("spawn", "import", "load", "first_result")


@dataclass(frozen=True)
class Fate:
    """What becomes of a cell that is not ok."""

    status: str
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


#: By (adapter, model, scenario).
FATES = {
    ("caffe2", "transformer", "train"): Fate(
        "unsupported", "Where (node attention/mask): Caffe2 has no gradient of it"
    ),
    ("mxnet", "resnet_cifar", "train"): Fate("wrong", "loss of step 2 is 2.3179, the reference says 2.3026"),
    ("tensorflow", "transformer", "infer"): Fate("failed", "killed for memory (signal 9); the log ends: Killed"),
    ("onnxruntime", "lenet5", "train"): Fate("timeout", "no answer to 'load' within 120 s"),
}


def write(
    folder: Path,
    *,
    models: tuple[str, ...] = tuple(PARAMETERS),
    rounds: int = 12,
    samples: int = 5,
    seed: int = 1,
    interrupted: bool = False,
    torn: bool = False,
) -> Path:
    """A journal of a run on a CPU, with everything in it that can happen; returns its folder.

    interrupted: the run was killed while the last comparison was measured. torn: in the middle of a line.
    """
    generator = numpy.random.default_rng(seed)
    with Journal.create(folder) as journal:
        _write_head(journal)
        for model in models:
            journal.append(
                "model",
                model=model,
                sha256=_sha256(model),
                parameters=PARAMETERS[model],
                flops=PARAMETERS[model] * 40,
                purpose="infer",
                batch=1,
                bound={"batch": 1},
            )
        for comparison in _comparisons(models):
            _write_comparison(journal, comparison, generator, rounds, samples, ends=True)
        if interrupted:
            last = {"model": models[0], "scenario": "infer", "batch": 128, "clock_scope": "device"}
            _write_comparison(journal, last, generator, rounds // 2, samples, ends=False)
        else:
            journal.append("run_end", seconds=214.6)
    if torn:
        with (folder / FILE_NAME).open("ab") as file:
            file.write(b'{"kind": "samples", "cell": "mlp/infer/128/dev')
    return folder


def _write_head(journal: Journal) -> None:
    journal.append(
        "run",
        name="synthetic",
        harness_version="0.1.0",
        suite="quick",
        seed=7,
        arguments={"suite": "quick", "adapters": [], "models": None, "threads": 2},
        started="2026-11-24T08:00:00+00:00",
    )
    journal.append(
        "machine",
        cpu="An Imaginary CPU @ 2.60GHz",
        physical_cores=2,
        logical_cores=4,
        memory_bytes=16 * 2**30,
        os="Debian GNU/Linux 12",
        kernel="6.1.0",
        governor=None,
        load_average=[0.4, 0.3, 0.2],
        gpus=[],
        variables={"OMP_NUM_THREADS": "2"},
    )
    journal.append("warning", text="The load average is 2.4 on 2 cores: something else is running.")
    for number, (adapter, version) in enumerate(VERSIONS.items()):
        journal.append(
            "environment",
            adapter=adapter,
            environment="cpu",
            device="cpu",
            python="3.11.7",
            lock="cpu.lock",
            packages=5 + 4 * number,
            bytes_on_disk=(200 + 300 * number) * 10**6,
            install_seconds=5.5 + number if adapter != "torch" else None,
            framework_version=version,
            import_seconds=COLD_SECONDS[adapter][1],
            facts={"blas": "openblas", "versions": {adapter: version, "numpy": "2.4.6"}},
        )
        journal.append(
            "ease", adapter=adapter, metric="packages", task="cpu", value=5, unit="packages", source="environment cpu"
        )
        for metric, value in (
            ("adapter_lines", 300 + number),
            ("adapter_functions", 80 - number),
            ("operators_missing", number),
        ):
            journal.append(
                "ease", adapter=adapter, metric=metric, task="", value=value, unit="count", source="adapters/"
            )
    journal.append(
        "environment",
        adapter="jax",
        environment="cpu",
        device="cpu",
        reason="no Python 3.14 on this machine",
        facts={"log_tail": "uv: no interpreter"},
    )


def _comparisons(models: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for model in models:
        for scenario, batch, scope in (
            ("infer", 1, "device"),
            ("infer", 1, "call"),
            ("infer", 32, "device"),
            ("train", 32, "device"),
            ("coldstart", 1, "cold"),
        ):
            yield {"model": model, "scenario": scenario, "batch": batch, "clock_scope": scope}


def _write_comparison(
    journal: Journal,
    what: dict[str, Any],
    generator: numpy.random.Generator,
    rounds: int,
    samples: int,
    ends: bool,
) -> None:
    comparison = "/".join(str(value) for value in what.values())
    cells = {adapter: f"{comparison}/{adapter}" for adapter in SLOWNESS}
    for number in range(rounds):
        drift = generator.lognormal(0.0, 0.1)
        for order, adapter in enumerate(generator.permutation(list(cells))):
            if what["scenario"] == "coldstart":
                _write_cold(journal, cells[adapter], adapter, number, order, drift)
            else:
                _write_turn(journal, what, cells[adapter], adapter, number, order, drift, generator, samples)
    for adapter, cell in cells.items():
        if ends:
            _write_cell(journal, what, comparison, cell, adapter, generator)
        else:
            journal.append("cell", **_identity(what, comparison, cell, adapter), status=None)


def _write_turn(
    journal: Journal,
    what: dict[str, Any],
    cell: str,
    adapter: str,
    number: int,
    order: int,
    drift: float,
    generator: numpy.random.Generator,
    samples: int,
) -> None:
    step = STEP_NS[what["model"]] * what["batch"] ** 0.8 * (3 if what["scenario"] == "train" else 1)
    step *= SLOWNESS[adapter] * (1.2 if what["clock_scope"] == "call" else 1) * drift
    ns = step * generator.lognormal(0.0, 0.03, samples)
    waited = numpy.where(generator.random(samples) < 0.05, ns * 0.2, 0.0)
    journal.append(
        "samples",
        cell=cell,
        round=number,
        order=order,
        repetitions=1,
        ns=(ns + waited).round(1),
        waited_ns=waited.round(),
        involuntary_switches=(waited > 0).astype(int),
        phase="timed",
    )


def _write_cold(journal: Journal, cell: str, adapter: str, number: int, order: int, drift: float) -> None:
    phases = {name: drift * value * 1e9 for name, value in zip(COLD_PHASES, COLD_SECONDS[adapter], strict=True)}
    for phase, ns in {**phases, "total": sum(phases.values())}.items():
        journal.append(
            "samples",
            cell=cell,
            round=number,
            order=order,
            repetitions=1,
            ns=[ns],
            waited_ns=[0],
            involuntary_switches=[0],
            phase=phase,
        )


def _identity(what: dict[str, Any], comparison: str, cell: str, adapter: str) -> dict[str, Any]:
    return {
        "cell": cell,
        "comparison": comparison,
        "adapter": adapter,
        "framework_version": VERSIONS[adapter],
        "device": "cpu",
        "device_name": "An Imaginary CPU @ 2.60GHz",
        "model_sha256": _sha256(what["model"]),
        "mode": MODES.get(adapter, "none"),
        "precision": "fp32",
        "layout": "channels-last" if adapter == "tensorflow" else "channels-first",
        "threads": 2,
        **what,
    }


def _write_cell(
    journal: Journal,
    what: dict[str, Any],
    comparison: str,
    cell: str,
    adapter: str,
    generator: numpy.random.Generator,
) -> None:
    fate = FATES.get((adapter, what["model"], what["scenario"]), Fate("ok", ""))
    train = what["scenario"] == "train"
    losses = (2.3026 * 0.93 ** numpy.arange(5)).round(4) if train else None
    journal.append(
        "cell",
        **_identity(what, comparison, cell, adapter),
        status=fate.status,
        reason=fate.reason or None,
        parameters_trained=PARAMETERS[what["model"]] if train else None,
        max_relative_error=float(generator.uniform(1e-7, 4e-6)) if fate.status == "ok" else None,
        peak_host_bytes=int(generator.uniform(2e8, 9e8)),
        peak_allocator_bytes=int(generator.uniform(1e6, 9e7)) if adapter in ("torch", "mxnet") else None,
        flops=PARAMETERS[what["model"]] * 40 * what["batch"],
        baseline=None,
        log=f"logs/{adapter}.log" if fate.status in ("failed", "timeout") else None,
        facts={"losses": losses} if train and fate.status == "ok" else {},
    )


def _sha256(model: str) -> str:
    return (model.encode().hex() * 8)[:64].ljust(64, "0")


#: What the measured journal's adapters take of one example of its model, in nanoseconds.
MEASURED_NS = {"torch": 100e3, "mxnet": 102e3, "caffe2": 300e3}
MEASURED_FLOPS, MEASURED_BYTES = 2_000_000, 500_000


def write_measured(folder: Path, rounds: int = 12, noise: float = 0.03) -> Path:
    """A journal with everything that is measured beside time: warm-ups, roofs, memory, what ran, networks written by
    hand, several batches and numbers of threads; returns its folder."""
    generator = numpy.random.default_rng(2)
    with Journal.create(folder) as journal:
        journal.append("run", name="measured", seed=2, suite="none")
        journal.append("machine", cpu="An Imaginary CPU", energy={"rapl": "the system shows no RAPL counters"})
        for adapter in MEASURED_NS:
            facts = {"tf32": False, "flush_denormals": True}
            journal.append("environment", adapter=adapter, environment="cpu", device="cpu", facts=facts)
        for what in _measured_comparisons():
            _write_measured_comparison(journal, what, generator, rounds, noise)
        journal.append("run_end", seconds=1.0)
    return folder


def _measured_comparisons() -> Iterator[dict[str, Any]]:
    basic = {"model": "net", "purpose": "infer", "clock_scope": "device", "threads": 2, "device": "cpu"}
    for model in ("gemm", "stream"):
        yield {**basic, "model": model, "scenario": "roof", "batch": 1}
    for batch in (1, 2, 4):
        yield {**basic, "scenario": "infer", "batch": batch}
    yield {**basic, "scenario": "infer", "batch": 1, "threads": 1}
    for adapter in ("torch", "mxnet"):
        yield {**basic, "scenario": "native", "purpose": "train", "batch": 1, "only": adapter}


def _write_measured_comparison(
    journal: Journal, what: dict[str, Any], generator: numpy.random.Generator, rounds: int, noise: float
) -> None:
    only = what.pop("only", None)
    comparison = "/".join(str(value) for value in (*what.values(), only))
    contestants = [(only, "native"), (only, "best")] if only else [(adapter, "best") for adapter in MEASURED_NS]
    for number in range(rounds):
        drift = generator.lognormal(0, 0.1)
        for order, (adapter, mode) in enumerate(contestants):
            step = MEASURED_NS[adapter] * what["batch"] * drift / (2 if what["scenario"] == "roof" else 1)
            ns = step * generator.lognormal(0, noise, 5)
            contended = adapter == "caffe2" and what["scenario"] == "infer" and what["batch"] == 4
            turn = {"cell": f"{comparison}/{adapter}/{mode}", "repetitions": 1}
            if number == 0:
                journal.append("samples", **turn, round=0, order=0, phase="warmup", ns=[step * 50, *ns])
            waited = ns * 0.5 if contended else ns * 0
            journal.append("samples", **turn, round=number, order=order, phase="timed", ns=ns, waited_ns=waited)
    for adapter, mode in contestants:
        _write_measured_cell(journal, what, comparison, adapter, mode)


def _write_measured_cell(journal: Journal, what: dict[str, Any], comparison: str, adapter: str, mode: str) -> None:
    ran = {
        "libraries": {"OpenBLAS": ["libopenblas.so.0 (OpenBLAS 0.3.31)"], "GNU OpenMP": ["libgomp.so.1"]},
        "pools": {"libgomp.so.1": 64 if adapter == "caffe2" else what["threads"]},
        "working_threads": what["threads"],
        "cpu_features": ["avx2", "fma"],
        "variables": {"OMP_NUM_THREADS": str(what["threads"])},
        "network": {"graph": "eager", "layout": "NCHW", "operators": 12, "flush_denormals": adapter != "mxnet"},
    }
    memory = [
        {"source": "floor", "bytes": 4_000_000, "means": "must exist at one moment (Conv c1)"},
        {"source": "resident peak", "bytes": 300_000_000, "means": "of the process, since the reset (VmHWM)"},
    ]
    journal.append(
        "cell",
        cell=f"{comparison}/{adapter}/{mode}",
        comparison=comparison,
        adapter=adapter,
        mode=mode,
        precision="fp32",
        status="ok",
        **what,
        step_flops=MEASURED_FLOPS * what["batch"],
        traffic_bytes=MEASURED_BYTES * what["batch"],
        settled=adapter != "caffe2",
        settle_ns=None if adapter == "caffe2" else 12_300_000,
        peak_host_bytes=300_000_000 + 10_000_000 * what["batch"],
        floor_bytes=4_000_000,
        contradictions=["The allocator says 1 MB, the floor 4 MB."] if adapter == "caffe2" else [],
        facts={"load_ns": 45_600_000, "environment": "cpu", "memory": memory, "ran": ran},
    )
