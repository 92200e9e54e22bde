"""Training: one session run is one whole step, from batch and weights to loss and new weights."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy
import onnxruntime

from ..kit.interface import Network, Options, Unsupported
from ..kit.program import Program
from .forward import running_variances
from .gradient import training_graphs
from .optimised import Facts
from .optimizers import STEP
from .session import bind, check_types, create_session, empty, staged, to_device, to_host, write

Values = Dict[str, onnxruntime.OrtValue]


class Staged(NamedTuple):
    """A batch on the device. For each of the two sets of weights: a binding that reads it, and its loss."""

    inputs: Values
    steps: List[onnxruntime.IOBinding]
    losses: List[onnxruntime.OrtValue]


class TrainingNetwork(Network):
    """Parameters, running statistics and optimizer state lie on the device twice: a step reads one set and writes
    the other, so that nothing is copied. A loss that `train_step` returned holds until the second step after it.
    """

    def __init__(self, program: Program, device: str, options: Options):
        self._program = program
        self._device = device
        self._options = options
        self._last = None
        check_types([*program.inputs, *program.outputs])
        self._graphs = training_graphs(program, device, options.threads)
        changing = [*program.training.parameters, *program.training.updates]
        self._changing = {name: program.tensors[name] for name in changing}
        self._scales = _variance_scales(program) if device == "cuda" else {}
        held = [*self._changing.values(), *self._graphs.state]
        self._sets: Tuple[Values, Values] = tuple({t.name: empty(t, device) for t in held} for _ in range(2))
        self._current = 0
        model = self._graphs.step.SerializeToString()
        self._session = create_session(model, device, options)
        self._facts = Facts(self._session, model, device, options)
        self.set_parameters({name: program.weights[name] for name in self._changing})

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Staged:
        inputs = {t.name: staged(arrays[t.name], t, self._device) for t in self._program.inputs}
        loss = self._program.tensors[self._program.training.loss]
        losses = [empty(loss, self._device) for _ in self._sets]
        steps = []
        for here, there, value in zip(self._sets, reversed(self._sets), losses):
            after = [(output, there[name]) for name, output in self._graphs.replaced]
            steps.append(bind(self._session, [*inputs.items(), *here.items()], [(loss.name, value), *after]))
        return Staged(inputs, steps, losses)

    def train_step(self, staged: Staged) -> onnxruntime.OrtValue:
        self._last = staged.steps[self._current]
        self._session.run_with_iobinding(self._last)
        loss = staged.losses[self._current]
        self._current = 1 - self._current
        return loss

    def loss(self, value: onnxruntime.OrtValue) -> float:
        return float(value.numpy())

    def synchronize(self) -> None:
        if self._device == "cuda" and self._last is not None:
            self._last.synchronize_outputs()

    def gradients(self, staged: Staged) -> Dict[str, numpy.ndarray]:
        """In a session of its own that is given up afterwards: training needs no gradients outside its step."""
        session = create_session(self._graphs.gradients.SerializeToString(), self._device, self._options)
        here = dict(self._sets[self._current])
        for name in self._program.training.updates:  # where nobody wants the new ones, BatchNormInternal
            here[name] = to_device(to_host(here[name]), self._changing[name], self._device)  # overwrites its inputs
        inputs = [*staged.inputs.items(), *((name, here[name]) for name in self._changing)]
        names = self._program.training.parameters
        results = [empty(self._changing[name], self._device) for name in names]
        outputs = zip((output.name for output in session.get_outputs()), results)
        binding = bind(session, inputs, outputs)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return {name: to_host(value) for name, value in zip(names, results)}

    def parameters(self) -> Dict[str, numpy.ndarray]:
        self.synchronize()
        here = self._sets[self._current]
        arrays = {name: to_host(here[name]) for name in self._changing}
        for name, scale in self._scales.items():
            arrays[name] = arrays[name] / arrays[name].dtype.type(scale)
        return arrays

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        self.synchronize()
        here = self._sets[self._current]
        for name, array in arrays.items():
            if name not in self._changing:
                raise KeyError(f"{name} is not a parameter that training changes")
            if name in self._scales:
                array = array * array.dtype.type(self._scales[name])
            write(here[name], array, self._changing[name])
        for tensor in self._graphs.state:
            first = self._program.training.optimizer.step if tensor.name == STEP else 0
            write(here[tensor.name], numpy.full(tensor.shape, first, tensor.dtype), tensor)

    def describe(self) -> Dict[str, Any]:
        return self._facts.describe(has_run=self._last is not None)

    def close(self) -> None:
        self._session = self._last = self._sets = self._facts = None


# workaround: with cuDNN, BatchNormInternal keeps the unbiased variance, n/(n-1) times the population's that ONNX keeps
def _variance_scales(program: Program) -> Dict[str, float]:
    """n/(n-1) of each running variance."""
    counts = running_variances(program)
    for name, count in counts.items():
        if count < 2:
            raise Unsupported(f"{name} is a variance of one value, of which cuDNN makes no running variance")
    return {name: count / (count - 1) for name, count in counts.items()}
