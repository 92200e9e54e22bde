"""How long a large model takes until a worker can load it, and whether that grows in step with its nodes.

A network of convolutions and attention, as exporters write them (shapes computed, functions, constants to fold, opset
17), is loaded, specialised, and written as a bundle in both layouts, for inference and for training. Beside seconds,
whose exponent grows where the data outgrow a cache, stands how often functions were called, which nothing disturbs.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import tempfile
import time
from collections.abc import Callable, Sequence
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

ROUNDS = 3

#: Noise makes exponents of a linear algorithm up to this.
LIMIT_EXPONENT = 1.15

CALLS = "calls, all steps"
COLUMNS = ("load", "specialise", "bundle, channels-first", "bundle, channels-last", "together", CALLS)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nodes of the Programs")
    arguments.add_argument("--purpose", choices=("infer", "train"), nargs="+", default=("infer", "train"))
    given = arguments.parse_args()
    figures, claims = {}, {}
    for purpose in given.purpose:
        rows = _measure(purpose, given.sizes)
        sizes, *columns = list(zip(*rows, strict=True))[1:]
        exponents = dict(zip(COLUMNS, (_results.exponent(sizes, column) for column in columns), strict=True))
        shown = [*rows, ["exponent", "", *exponents.values()]]
        _results.show(
            f"Seconds to prepare a model to {purpose}", ["nodes of the file", "of the Program", *COLUMNS], shown
        )
        figures[purpose] = {"rows": rows, "exponents": exponents}
        claims[f"{purpose}: seconds of specialise, {sizes[-1]:,} nodes"] = (rows[-1][3], LIMIT_SECONDS)
        for name in ("specialise", "together", CALLS):
            claims[f"{purpose}: exponent of {name}"] = (exponents[name], LIMIT_EXPONENT)
    kept = _results.judge(claims)
    _results.keep("specialise", {"columns": ["file_nodes", "program_nodes", *COLUMNS], **figures})
    raise SystemExit(0 if kept else 1)


def _measure(purpose: str, sizes: Sequence[int]) -> list[list[float]]:
    """Per size: nodes of the file and of the Program, the seconds of each step and of all together, and the calls of
    functions.

    Seconds are the least of some rounds through all sizes: what a shared machine does to a figure only adds to it.
    """
    protos = [_deep_net.make(_blocks(purpose, size), purpose == "train") for size in sizes]
    rounds = [[_prepare(purpose, proto) for proto in protos] for _ in range(ROUNDS)]
    rows = []
    for proto, *runs in zip(protos, *rounds, strict=True):
        count = len(proto.graph.node) + sum(len(info.algorithm.node) for info in proto.training_info)
        nodes, *seconds = (min(column) for column in zip(*runs, strict=True))
        profile = cProfile.Profile()
        profile.runcall(_prepare, purpose, proto)
        calls = sum(entry.callcount for entry in profile.getstats())
        rows.append([count, nodes, *seconds, sum(seconds), calls])
    return rows


def _prepare(purpose: str, proto: onnx.ModelProto) -> list[float]:
    """The nodes of the Program, and the seconds of each step with nothing made before."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARNESS_HOME"] = folder
        path = Path(folder) / "deep_net.onnx"
        onnx.save(proto, path)
        load, loaded = _timed(lambda: model.load(path))
        special, found = _timed(lambda: specialise(loaded, purpose, 1))
        workload = prepare.Workload(loaded, purpose, 1, 0)
        first, _ = _timed(lambda: workload.bundle(None, "channels-first"))
        last, _ = _timed(lambda: workload.bundle(None, "channels-last"))
    return [len(found.program.nodes), load, special, first, last]


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
