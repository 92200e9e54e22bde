"""Everything about one model that a comparison needs, made once and kept: bundles, inputs, reference answers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
import onnx

from harness import zoo
from harness.errors import HarnessError, did_you_mean
from harness.folders import make_whole
from harness.kit import Program, arrays
from harness.paths import home
from harness.spec import bundle, inputs, layout, model, precision, reference, slopes
from harness.spec.cost import Cost, cost
from harness.spec.reference import Arrays, Reference
from harness.spec.slopes import Slope, Surface
from harness.spec.specialise import Specialised, specialise

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
        self._key = _digest(source.sha256, purpose, batch, seed, sorted(self.shapes.items()), _code())
        self._lock = threading.RLock()

    def cost_in(self, wanted_precision: str) -> Cost:
        """What it needs in a precision. Raises HarnessError where that is not defined."""
        program = precision.in_precision(self.program, wanted_precision)
        return self.cost if program is self.program else cost(program)

    def bundle(self, operators: Collection[str] | None, wanted_layout: str, wanted_precision: str = "fp32") -> Bundle:
        """The bundle for an adapter that lowers these operators (None, or "*" among them: all) in this layout and
        precision."""
        lacking = operators is not None and "*" not in operators
        special = self.specialised
        if lacking and not {node.op for node in self.program.nodes} <= set(operators or ()):
            special = specialise(self.model, self.purpose, self.batch, self.shapes, operators)
        program = precision.in_precision(special.program, wanted_precision)
        planned = layout.planned(program, wanted_layout)
        shape = planned or program
        ops = [(node.op, node.inputs, node.outputs) for node in shape.nodes]
        key = _digest(self._key, wanted_layout, wanted_precision, ops, bundle.FORMAT)
        shelf = home() / "bundles" / f"{self.model.name}-{self._weights_key(program)}"
        folder = bundle.write_on_shelf(program, shelf, f"{self.purpose}-b{self.batch}-{key}", planned)
        return Bundle(folder, program, special.rewritten)

    def _weights_key(self, program: Program) -> str:
        """A digest of a Program's initializers. An array that is the file's own is known by the file's digest, which
        spares reading a gigabyte again."""
        own = self.model.weights
        identities = [
            (
                tensor.name,
                tensor.dtype,
                tensor.shape,
                "" if array is own.get(tensor.name) else hashlib.sha256(arrays.carried(array).data).hexdigest(),
            )
            for tensor, array in ((tensor, program.weights[tensor.name]) for tensor in program.initializers)
        ]
        return _digest(self.model.sha256, sorted(identities), bundle.FORMAT)

    def inputs(self) -> Path:
        """Where the inputs lie (for `kit.arrays.read_arrays`), in the ONNX layout."""
        return self._kept("inputs", lambda: inputs.make(self.program, self.seed))

    def input_arrays(self) -> Arrays:
        return {name: numpy.asarray(array) for name, array in arrays.read_arrays(str(self.inputs())).items()}

    def reference(self) -> Reference:
        """Right outputs and their rounding; they can take a minute."""
        return self._evaluated("reference", self.program)

    def nearby(self) -> Reference:
        """Right outputs of a training Program at its `nudged` parameters."""
        return self._evaluated("nearby", slopes.near(self.program, self.seed))

    def nudged(self) -> Path:
        """Where the parameters lie at which gradients are checked; see `slopes.nudged`."""
        return self._kept("nudged", lambda: slopes.nudged(self.program, self.seed))

    def surface(self, gradients: Arrays) -> Surface:
        """The loss near the `nudged` parameters, to hold these gradients against."""
        assert self.program.training is not None
        loss = float(self.nearby().outputs[self.program.training.loss].reshape(()))
        sizes = slopes.magnitudes(self.program, gradients)
        return Surface(self.program, self.input_arrays(), self.seed, loss, sizes)

    def slopes(self, gradients: Arrays) -> list[Slope]:
        """Slopes of the loss along random directions that suit these gradients; see `spec.slopes`."""
        sizes = slopes.magnitudes(self.program, gradients)

        def measure() -> Arrays:
            found = self.surface(gradients).slopes()
            return {"measured": numpy.array([[slope.value, slope.rounding] for slope in found])}

        measured = arrays.read_arrays(str(self._kept(f"slopes-{_digest(sizes, 2)}", measure)))["measured"]
        towards = slopes.directions(self.program, self.seed, sizes)
        return [
            Slope(direction, float(value), float(rounding), index == 0)
            for index, (direction, (value, rounding)) in enumerate(zip(towards, measured, strict=True))
        ]

    def _evaluated(self, what: str, program: Program) -> Reference:
        def evaluate() -> Arrays:
            found = reference.evaluate(program, self.input_arrays())
            rounding = {_ROUNDING + name: numpy.array(error) for name, error in found.rounding.items()}
            return {**found.outputs, **rounding}

        kept = arrays.read_arrays(str(self._kept(what, evaluate)))
        rounding = {name[len(_ROUNDING) :]: float(a) for name, a in kept.items() if name.startswith(_ROUNDING)}
        return Reference({name: a for name, a in kept.items() if not name.startswith(_ROUNDING)}, rounding)

    def _kept(self, what: str, make: Callable[[], Arrays]) -> Path:
        """Where arrays lie that are made once and kept, by one thread of one process at a time."""
        folder = home() / "workloads" / f"{self._name}-{self._key}" / what
        with self._lock:
            return make_whole(folder, lambda scratch: arrays.write_arrays(str(scratch / "arrays"), make())) / "arrays"


def find(name: str, values: Mapping[str, float] | None = None) -> model.Model:
    """A model by its name in the zoo or by the path of its file.

    values: numbers for inputs that are settings and not data; those of inputs that this model has are fixed.
    """
    path = Path(name)
    found = model.load(path if path.suffix == ".onnx" or path.exists() else zoo.path(name, home() / "models"))
    names = {value.name for value in found.proto.graph.input}
    return model.with_fixed_inputs(found, {key: value for key, value in (values or {}).items() if key in names})


def own_batch(source: model.Model) -> int | None:
    """The extent at which a model fixes the first axis of its first input that has axes; None where it is free."""
    for value in model.fed_inputs(source.proto.graph):
        dims = value.type.tensor_type.shape.dim
        if dims:
            return dims[0].dim_value or None
    return None


def check_extents(source: model.Model, shapes: dict[str, int]) -> None:
    """Raise HarnessError where an extent is given for a dimension that a model does not have."""
    known = sorted(free_dimensions(source))
    for name in shapes:
        if name not in known:
            raise HarnessError(f"{source.path}: it has no dimension {name!r}", did_you_mean(name, known))


def free_dimensions(source: model.Model) -> set[str]:
    """Names of the dimensions that a model's inputs leave free; INPUT.AXIS where the file does not name one."""
    return {
        dim.dim_param or f"{value.name}.{axis}"
        for value in model.fed_inputs(source.proto.graph)
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        if not dim.HasField("dim_value")
    }


@cache
def _code() -> str:
    """A digest of what makes Programs, inputs and references: what another version of it kept is not used."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(onnx.__version__, *(file.read_text() for file in files))


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
