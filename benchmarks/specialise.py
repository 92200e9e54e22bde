"""How long a large model takes until a worker can load it, and whether that grows in step with its nodes.

A network of convolutions and attention, as exporters write them (shapes computed, functions, constants to fold, opset
17), is loaded, specialised, and written as a bundle in both layouts, for inference and for training.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _deep_net
import _results
import onnx

from harness.spec import model, prepare
from harness.spec.specialise import specialise

#: Nodes of a Program, and what making it may take.
SIZES = (1_250, 2_500, 5_000, 10_000)
LIMIT_SECONDS = 10.0

#: Noise makes exponents of a linear algorithm up to this.
LIMIT_EXPONENT = 1.15

STEPS = ("load", "specialise", "bundle, channels-first", "bundle, channels-last")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nodes of the Programs")
    arguments.add_argument("--purpose", choices=("infer", "train"), nargs="+", default=("infer", "train"))
    given = arguments.parse_args()
    figures, claims = {}, {}
    for purpose in given.purpose:
        rows = [_measure(purpose, size) for size in given.sizes]
        columns = list(zip(*rows, strict=True))
        exponents = [_results.exponent(columns[1], column) for column in columns[2:]]
        title = f"Seconds to prepare a model to {purpose}"
        _results.show(title, ["nodes of the file", "of the Program", *STEPS], [*rows, ["exponent", "", *exponents]])
        figures[purpose] = {"seconds": rows, "exponents": dict(zip(STEPS, exponents, strict=True))}
        claims[f"{purpose}: seconds of specialise, {rows[-1][1]:,} nodes"] = (rows[-1][3], LIMIT_SECONDS)
        for step, value in zip(STEPS, exponents, strict=True):
            claims[f"{purpose}: exponent of {step}"] = (value, LIMIT_EXPONENT)
    kept = _results.judge(claims)
    _results.keep("specialise", {"columns": ["file_nodes", "program_nodes", *STEPS], **figures})
    raise SystemExit(0 if kept else 1)


def _measure(purpose: str, nodes: int) -> list[float]:
    """Nodes of the file and of the Program, and the seconds of each step."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARNESS_HOME"] = folder
        path = Path(folder) / "deep_net.onnx"
        proto = _deep_net.make(_blocks(purpose, nodes), purpose == "train")
        onnx.save(proto, path)
        seconds, loaded = _timed(lambda: model.load(path))
        specialised, found = _timed(lambda: specialise(loaded, purpose, 1))
        workload = prepare.Workload(loaded, purpose, 1, 0)
        first, _ = _timed(lambda: workload.bundle(None, "channels-first"))
        last, _ = _timed(lambda: workload.bundle(None, "channels-last"))
    count = len(proto.graph.node) + sum(len(info.algorithm.node) for info in proto.training_info)
    return [count, len(found.program.nodes), seconds, specialised, first, last]


def _blocks(purpose: str, nodes: int) -> int:
    """Blocks that make about so many nodes of a Program."""
    loaded = model.from_proto(_deep_net.make(2, purpose == "train"), "two")
    two = len(specialise(loaded, purpose, 1).program.nodes)
    loaded = model.from_proto(_deep_net.make(4, purpose == "train"), "four")
    four = len(specialise(loaded, purpose, 1).program.nodes)
    return -(-(nodes - 2 * two + four) * 2 // (four - two))


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    main()
