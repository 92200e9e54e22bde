"""Everything about one model that a comparison needs, made once and kept: bundles, inputs, reference answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from harness import zoo
from harness.kit import Program, arrays
from harness.paths import home
from harness.spec import bundle, inputs, layout, model, reference
from harness.spec.cost import Cost, cost
from harness.spec.reference import Arrays, Reference, Slope
from harness.spec.specialise import Specialised, specialise

#: Random directions along which gradients are checked.
SLOPES = 2


@dataclass(frozen=True)
class Bundle:
    """A bundle on the disk, and the Program in it (in the ONNX layout)."""

    folder: Path
    program: Program
    rewritten: dict[str, str]


class Workload:
    """One model at one batch for one purpose ("infer" or "train"), with its inputs and right answers.

    batch: None for the file's own, or 1 where it leaves it free.
    """

    def __init__(
        self, source: model.Model, purpose: str, batch: int | None, seed: int, shapes: dict[str, int] | None = None
    ):
        self.model, self.purpose, self.batch, self.seed = source, purpose, batch, seed
        self.shapes = dict(shapes or {})
        self.specialised: Specialised = specialise(source, purpose, batch, self.shapes)
        self.program: Program = self.specialised.program
        self.cost: Cost = cost(self.program)
        self._key = _digest(source.sha256, purpose, batch, seed, sorted(self.shapes.items()))

    def bundle(self, operators: Collection[str] | None, wanted_layout: str) -> Bundle:
        """The bundle for an adapter that lowers these operators (None, or "*" among them: all) in this layout."""
        lacking = operators is not None and "*" not in operators
        special = self.specialised
        if lacking and not {node.op for node in self.program.nodes} <= set(operators or ()):
            special = specialise(self.model, self.purpose, self.batch, self.shapes, operators)
        planned = layout.channels_last(special.program) if wanted_layout == "channels-last" else None
        shape = planned or special.program
        ops = [(node.op, node.inputs, node.outputs) for node in shape.nodes]
        key = _digest(self._key, wanted_layout, ops, bundle.FORMAT)
        folder = home() / "bundles" / f"{self.model.name}-{self.purpose}-b{self.batch}-{key}"
        return Bundle(bundle.write(special.program, folder, planned), special.program, special.rewritten)

    def inputs(self) -> Path:
        """Where the inputs lie (for `kit.arrays.read_arrays`), in the ONNX layout."""
        path = home() / "inputs" / f"{self.model.name}-{self.purpose}-b{self.batch}-{self._key}"
        if not path.with_suffix(".json").exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays.write_arrays(str(path), inputs.make(self.program, self.seed))
        return path

    def input_arrays(self) -> Arrays:
        return {name: numpy.asarray(array) for name, array in arrays.read_arrays(str(self.inputs())).items()}

    def reference(self) -> Reference:
        """Right outputs and their rounding; kept on the disk, for they can take a minute."""
        path = self._kept("reference")
        if not path.with_suffix(".json").exists():
            found = reference.evaluate(self.program, self.input_arrays())
            _keep(path, found.outputs, {"rounding": found.rounding})
        outputs, facts = _kept_arrays(path)
        return Reference(outputs, facts["rounding"])

    def slopes(self) -> list[Slope]:
        """Slopes of the loss along random directions; see `reference.slopes`."""
        path = self._kept("slopes")
        if not path.with_suffix(".json").exists():
            found = reference.slopes(self.program, self.input_arrays(), SLOPES, self.seed)
            _keep(path, {}, {"values": [slope.value for slope in found]})
        _, facts = _kept_arrays(path)
        return [
            Slope(reference.direction(self.program, self.seed, index), value)
            for index, value in enumerate(facts["values"])
        ]

    def nudged(self) -> Path:
        """Where the parameters lie at which gradients are checked; see `reference.nudged`."""
        path = self._kept("nudged")
        if not path.with_suffix(".json").exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays.write_arrays(str(path), reference.nudged(self.program, self.seed))
        return path

    def _kept(self, what: str) -> Path:
        return home() / "references" / f"{self.model.name}-{self.purpose}-b{self.batch}-{self._key}-{what}"


def find(name: str) -> model.Model:
    """A model by its name in the zoo or by the path of its file."""
    path = Path(name)
    if path.suffix == ".onnx" or path.exists():
        return model.load(path)
    return model.load(zoo.path(name, home() / "models"))


def _keep(path: Path, found: Arrays, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays.write_arrays(f"{path}.arrays", found)
    path.with_suffix(".json").write_text(json.dumps(facts))


def _kept_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    return arrays.read_arrays(f"{path}.arrays"), json.loads(path.with_suffix(".json").read_text())


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
