"""What ONNX Runtime answers with every optimisation off: `python oracle.py MODEL FEEDS ANSWERS`.

A program of its own, not part of the adapter: the controller runs it in the adapter's environment where it needs right
answers for a file that nobody ships any for. FEEDS and ANSWERS are .npz files, by name.
"""

from __future__ import annotations

import sys

import numpy
import onnxruntime


def main(model: str, feeds: str, answers: str) -> None:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with numpy.load(feeds, allow_pickle=False) as arrays:
        results = session.run(names, {name: arrays[name] for name in arrays.files})
    numpy.savez(answers, **dict(zip(names, results)))


if __name__ == "__main__":
    main(*sys.argv[1:])
