"""Are adapters as fast as what their frameworks' best users write by hand?

    python benchmarks/native.py [ADAPTER ...] [--env ADAPTER=PYTHON ...] [--out FOLDER]

Runs the suite `native` framework by framework: adapter over hand-written network, inference and training, in the rounds
of one run. Then ONNX Runtime's training against PyTorch eager on resnet18, which has no hand-written counterpart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import _results

import harness

ADAPTERS = ["torch", "tensorflow", "mxnet", "caffe2", "onnxruntime"]

#: How much longer than its hand-written counterpart an adapter may take; ONNX Runtime has the plain session to match.
LIMIT, SESSION_LIMIT = 1.02, 1.00

#: How much longer than PyTorch eager's a training step of ONNX Runtime's on resnet18 may take.
TRAINING_LIMIT = 1.39


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="*", help="all that have hand-written networks, if none is named")
    parser.add_argument("--env", action="append", default=[], metavar="ADAPTER=PYTHON")
    parser.add_argument("--out", type=Path, help="keep the runs in this folder")
    asked = parser.parse_args()
    adapters = asked.adapters or ADAPTERS
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.out or Path(scratch)
        rows = [row for adapter in adapters for row in against_native(adapter, folder, asked.env)]
        if {"torch", "onnxruntime"} <= set(adapters):
            rows += training_against_torch(folder, asked.env)
    return report(rows)


def run(folder: Path, name: str, arguments: list[str], given: list[str], adapters: list[str]) -> Any:
    """The cells of one run."""
    command = [sys.executable, "-m", "harness", "run", *adapters, *arguments, "--out", str(folder), "--name", name]
    command += [f"--env={one}" for one in given if one.split("=")[0] in (*adapters, "null")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return harness.load(folder / name).cells


def against_native(adapter: str, folder: Path, given: list[str]) -> list[dict[str, Any]]:
    cells = run(folder, f"native-{adapter}", ["--suite", "native", "--scenarios", "native"], given, [adapter])
    limit = SESSION_LIMIT if adapter == "onnxruntime" else LIMIT
    return [_row(cell, limit) for cell in cells[cells["mode"] != "native"].to_dict("records")]


def training_against_torch(folder: Path, given: list[str]) -> list[dict[str, Any]]:
    arguments = ["--suite", "standard", "--scenarios", "train", "--models", "resnet18", "--batch", "8"]
    cells = run(folder, "training-onnxruntime", arguments, given, ["torch", "onnxruntime"])
    return [_row(cell, TRAINING_LIMIT) for cell in cells[cells["adapter"] == "onnxruntime"].to_dict("records")]


def _row(cell: dict[str, Any], limit: float) -> dict[str, Any]:
    row = {key: cell[key] for key in ("adapter", "mode", "model", "purpose", "baseline", "status")}
    row = {key: str(value) for key, value in row.items()}
    row |= {"ratio": cell["ratio"], "low": cell["ratio_ci_low"], "high": cell["ratio_ci_high"], "limit": limit}
    return row | {"reason": str(cell["reason"]) if cell["status"] != "ok" else ""}


def report(rows: list[dict[str, Any]]) -> int:
    """Beyond its limit is what lies beyond it with its whole interval. Of several modes the best counts."""
    fastest: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = (row["adapter"], row["model"], row["purpose"], row["baseline"])
        if row["baseline"] == row["adapter"]:
            row["status"], row["reason"] = "alone", "no hand-written network of it"
        if row["status"] == "ok":
            fastest[key] = min(fastest.get(key, row["ratio"]), row["ratio"])
    for row in rows:
        key = (row["adapter"], row["model"], row["purpose"], row["baseline"])
        row["kept"] = row["reason"] if row["status"] != "ok" else "yes" if row["low"] <= row["limit"] else "NO"
        if row["status"] == "ok" and row["ratio"] > fastest[key]:
            row["kept"] = "not its best mode"
    columns = ["adapter", "mode", "model", "purpose", "baseline", "ratio", "low", "high", "limit", "kept"]
    _results.show("Adapter over hand-written network", columns, [[row[name] for name in columns] for row in rows])
    _results.keep("native", {"rows": rows})
    return 0 if all(row["kept"] != "NO" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
