"""What a gigabyte of weights costs: written once, mapped by workers, never many times in memory.

A model of matrices (and kernels, which a channels-last layout turns) is made in a temporary folder. A controller of its
own loads it and writes what workers of both layouts, for inference at two batches and for training, want. Then workers
read it: the adapter that does nothing, and what --env names (onnxruntime=PATH/TO/PYTHON, several times).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import _results
import numpy
import onnx
from onnx import helper, numpy_helper

from harness.kit import Optimizer
from harness.paths import ADAPTERS
from harness.spec import model, prepare, training
from harness.worker import Worker

MEBI = 1 << 20
WIDTH = 2048

#: The controller's peak, in weights, and what may be written, in weights.
LIMIT_PEAK, LIMIT_WRITTEN = 2.5, 1.1

#: What a worker that does nothing may add to its own memory when it reads a bundle, in weights.
LIMIT_READ = 0.05

#: (purpose, batch, layout) of the bundles that are asked for.
WANTED = (
    ("infer", 1, "channels-first"),
    ("infer", 1, "channels-last"),
    ("infer", 2, "channels-first"),
    ("train", 2, "channels-first"),
    ("train", 2, "channels-last"),
)
TIMEOUT = 600.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--mebibytes", type=int, default=1024, help="size of the weights")
    arguments.add_argument("--env", action="append", default=[], metavar="ADAPTER=PYTHON", help="also read by this one")
    given = arguments.parse_args()
    figures: dict[str, Any] = {"weight_bytes": given.mebibytes * MEBI}
    claims: dict[str, tuple[float, float]] = {}
    for where in ("external", "in the file"):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HARNESS_HOME"] = folder
            path = _make(Path(folder) / "heavy.onnx", given.mebibytes, where == "external")
            found = _in_a_process(_prepare, path)
            size = figures["weight_bytes"]
            _show_controller(where, found, size)
            figures[f"controller, weights {where}"] = {key: found[key] for key in ("seconds", "peak", "written")}
            claims[f"controller's peak over the weights, {where}"] = (found["peak"]["bytes"] / size, LIMIT_PEAK)
            claims[f"bytes written over the weights, {where}"] = (found["written"] / size, LIMIT_WRITTEN)
            if where == "external":
                pythons = {"null": sys.executable, **dict(entry.split("=", 1) for entry in given.env)}
                workers = [_work(name, python, found, Path(folder)) for name, python in pythons.items()]
                _show_workers(workers, size)
                figures["workers"] = workers
                claims["null worker's own memory over the weights"] = (
                    workers[0]["load"]["anonymous"] / size,
                    LIMIT_READ,
                )
    kept = _results.judge(claims)
    _results.keep("weights", figures)
    raise SystemExit(0 if kept else 1)


def _make(path: Path, mebibytes: int, external: bool) -> Path:
    """A model of WIDTH-wide matrices, every fourth of them a kernel of 1x1, with a recipe."""
    generator = numpy.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for index in range(mebibytes * MEBI // (4 * WIDTH * WIDTH)):
        array = generator.standard_normal((WIDTH, WIDTH), numpy.float32) / numpy.float32(WIDTH**0.5)
        name, result = f"weight{index}", f"value{index}"
        if index % 4 == 3:
            shape = numpy.array([0, WIDTH, 1, 1])
            weights.append(numpy_helper.from_array(shape, f"image{index}"))
            nodes.append(helper.make_node("Reshape", [value, f"image{index}"], [f"wide{index}"]))
            nodes.append(helper.make_node("Conv", [f"wide{index}", name], [f"kernel{index}"]))
            nodes.append(helper.make_node("Flatten", [f"kernel{index}"], [result]))
            array = array.reshape(WIDTH, WIDTH, 1, 1)
        else:
            nodes.append(helper.make_node("MatMul", [value, name], [result]))
        weights.append(numpy_helper.from_array(array, name))
        value = result
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", WIDTH])]
    outputs = [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, ["N", WIDTH])]
    graph = helper.make_graph(nodes, "heavy", inputs, outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    proto = training.add(proto, "softmax-cross-entropy", Optimizer("Momentum", 0.01, {}))
    onnx.save(proto, path, save_as_external_data=external, location="heavy.bin")
    return path


def _prepare(path: Path) -> dict[str, Any]:
    """Load a model and write every bundle that is wanted; what it took."""
    meter = _Meter()
    loaded = meter.take("load and hash the model", lambda: model.load(path))
    bundles: dict[str, str] = {}
    workloads: dict[tuple[str, int], prepare.Workload] = {}
    for purpose, batch, layout in WANTED:
        if (purpose, batch) not in workloads:
            made = meter.take(f"specialise to {purpose}, batch {batch}", _maker(loaded, purpose, batch))
            workloads[purpose, batch] = made
        what = f"bundle to {purpose}, batch {batch}, {layout}"
        bundles[what] = str(meter.take(what, _bundler(workloads[purpose, batch], layout)).folder)
    inputs = str(workloads["infer", 1].inputs())
    peak = {"bytes": _status(os.getpid(), "VmHWM"), "before": meter.before, "after": _status(os.getpid(), "RssAnon")}
    return {**meter.figures(), "peak": peak, "bundles": bundles, "inputs": inputs}


def _maker(loaded: model.Model, purpose: str, batch: int) -> Callable[[], prepare.Workload]:
    return lambda: prepare.Workload(loaded, purpose, batch, 0)


def _bundler(workload: prepare.Workload, layout: str) -> Callable[[], prepare.Bundle]:
    return lambda: workload.bundle(None, layout)


class _Meter:
    """Seconds, and bytes given to the kernel to write, of steps one after another."""

    def __init__(self) -> None:
        self.before = _status(os.getpid(), "VmHWM")
        self._rows: list[list[Any]] = []
        self._begin = _written()

    def take(self, what: str, step: Callable[[], Any]) -> Any:
        before, begin = _written(), time.perf_counter()
        result = step()
        own = _status(os.getpid(), "RssAnon")
        self._rows.append([what, time.perf_counter() - begin, _written() - before, own])
        return result

    def figures(self) -> dict[str, Any]:
        return {"seconds": self._rows, "written": _written() - self._begin}


def _work(name: str, python: str, found: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One worker: what it has of its own (anonymous) and of files after each step, and how long the step took."""
    layout = "channels-last" if name == "tensorflow" else "channels-first"
    mode = {"null": "noop", "onnxruntime": "all", "torch": "eager"}.get(name, "graph")
    worker = Worker(Path(python), ADAPTERS / name, folder / f"{name}.log", 2)
    options = {"mode": mode, "precision": "fp32", "threads": 2}
    steps: dict[str, dict[str, Any]] = {
        "hello": {},
        "load": {
            "network": 1,
            "bundle": found["bundles"][f"bundle to infer, batch 1, {layout}"],
            "device": "cpu",
            "options": options,
        },
        "infer": {"network": 1, "inputs": found["inputs"], "outputs": str(folder / f"{name}-outputs")},
    }
    figures: dict[str, Any] = {"adapter": name}
    own = 0
    try:
        for step, arguments in steps.items():
            begin = time.perf_counter()
            worker.ask(step, TIMEOUT, **arguments)
            seconds = time.perf_counter() - begin
            after, mapped = (_status(worker.process.pid, field) for field in ("RssAnon", "RssFile"))
            figures[step] = {"seconds": seconds, "anonymous": after - own, "mapped": mapped}
            own = after
    finally:
        worker.end()
    return figures


def _show_controller(where: str, found: dict[str, Any], size: int) -> None:
    rows = [[what, seconds, written / MEBI, own / MEBI] for what, seconds, written, own in found["seconds"]]
    rows.append(["peak of the resident set", "", "", found["peak"]["bytes"] / MEBI])
    title = f"Controller: {size / MEBI:.0f} MiB of weights, {where}"
    _results.show(title, ["step", "seconds", "MiB written", "MiB of its own after"], rows)


def _show_workers(workers: list[dict[str, Any]], size: int) -> None:
    rows = [
        [f"{worker['adapter']}: {step}", found["seconds"], found["anonymous"] / MEBI, found["mapped"] / MEBI]
        for worker in workers
        for step, found in worker.items()
        if isinstance(found, dict)
    ]
    title = f"Workers: {size / MEBI:.0f} MiB of weights"
    _results.show(title, ["step", "seconds", "MiB of its own more", "MiB of files resident"], rows)


def _in_a_process(action: Callable[[Path], Any], path: Path) -> Any:
    """Its result, from a process of its own: what was in memory before is not counted."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(action, path).result()


def _written() -> int:
    """Bytes that this process gave to write()."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _status(process: int, field: str) -> int:
    """A field of /proc/PID/status, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024


if __name__ == "__main__":
    main()
