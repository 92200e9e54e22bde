"""Everything about one model that a comparison needs, made once and kept: bundles, inputs, reference answers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy

from harness import zoo
from harness.folders import make_whole
from harness.kit import Program, arrays
from harness.paths import home
from harness.spec import bundle, inputs, layout, model, reference
from harness.spec.cost import Cost, cost
from harness.spec.reference import Arrays, Reference, Slope
from harness.spec.specialise import Specialised, specialise

#: Random directions along which gradients are checked.
SLOPES = 2

#: What the rounding of an output is kept under.
_ROUNDING = "rounding of "


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
        self._name = f"{source.name}-{purpose}-b{batch}"
        self._key = _digest(source.sha256, purpose, batch, seed, sorted(self.shapes.items()))
        self._lock = threading.RLock()

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
        folder = home() / "bundles" / f"{self._name}-{key}"
        return Bundle(bundle.write(special.program, folder, planned), special.program, special.rewritten)

    def inputs(self) -> Path:
        """Where the inputs lie (for `kit.arrays.read_arrays`), in the ONNX layout."""
        return self._kept("inputs", lambda: inputs.make(self.program, self.seed))

    def input_arrays(self) -> Arrays:
        return {name: numpy.asarray(array) for name, array in arrays.read_arrays(str(self.inputs())).items()}

    def reference(self) -> Reference:
        """Right outputs and their rounding; they can take a minute."""

        def evaluate() -> Arrays:
            found = reference.evaluate(self.program, self.input_arrays())
            rounding = {_ROUNDING + name: numpy.array(error) for name, error in found.rounding.items()}
            return {**found.outputs, **rounding}

        kept = arrays.read_arrays(str(self._kept("reference", evaluate)))
        rounding = {name[len(_ROUNDING) :]: float(a) for name, a in kept.items() if name.startswith(_ROUNDING)}
        return Reference({name: a for name, a in kept.items() if not name.startswith(_ROUNDING)}, rounding)

    def slopes(self) -> list[Slope]:
        """Slopes of the loss along random directions; see `reference.slopes`."""

        def measure() -> Arrays:
            found = reference.slopes(self.program, self.input_arrays(), SLOPES, self.seed)
            return {"values": numpy.array([slope.value for slope in found])}

        values = arrays.read_arrays(str(self._kept("slopes", measure)))["values"]
        return [Slope(reference.direction(self.program, self.seed, i), float(v)) for i, v in enumerate(values)]

    def nudged(self) -> Path:
        """Where the parameters lie at which gradients are checked; see `reference.nudged`."""
        return self._kept("nudged", lambda: reference.nudged(self.program, self.seed))

    def _kept(self, what: str, make: Callable[[], Arrays]) -> Path:
        """Where arrays lie that are made once and kept, by one thread of one process at a time."""
        folder = home() / "workloads" / f"{self._name}-{self._key}" / what
        with self._lock:
            return make_whole(folder, lambda scratch: arrays.write_arrays(str(scratch / "arrays"), make())) / "arrays"


def find(name: str) -> model.Model:
    """A model by its name in the zoo or by the path of its file."""
    path = Path(name)
    if path.suffix == ".onnx" or path.exists():
        return model.load(path)
    return model.load(zoo.path(name, home() / "models"))


def free_dimensions(source: model.Model) -> set[str]:
    """Names of the dimensions that a model's inputs leave free."""
    dims = [dim for value in source.proto.graph.input for dim in value.type.tensor_type.shape.dim]
    return {dim.dim_param for dim in dims if dim.dim_param}


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
