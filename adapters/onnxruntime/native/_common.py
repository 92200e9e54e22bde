"""What the four share: the bundle's ONNX file in a plain session, or in the training API's Module and Optimizer."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from typing import Any, Dict, List

import numpy
import onnxruntime

from ...kit.interface import Network, Options, Unsupported
from ...kit.program import Optimizer, Program
from .. import settings


def network(program: Program, device: str, options: Options) -> Network:
    settings.check_options(device, options)
    if options.precision == "bf16":
        raise Unsupported("a plain session reads no bfloat16 convolution in an ONNX file of operator set 21")
    return Trained(program, device, options) if program.training else Inferred(program, device, options)


class Inferred(Network):
    """One session; a batch is staged as a binding of inputs and outputs that lie on the device."""

    def __init__(self, program: Program, device: str, options: Options):
        self.device = device
        self.outputs = [tensor.name for tensor in program.outputs]
        self.session = onnxruntime.InferenceSession(
            program.onnx_path(), settings.session_options(options), providers=settings.providers(device, options)
        )

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> onnxruntime.IOBinding:
        binding = self.session.io_binding()
        binding.held = [arrays[value.name] for value in self.session.get_inputs()]  # on a CPU they are not copied
        for value, array in zip(self.session.get_inputs(), binding.held):
            binding.bind_ortvalue_input(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array, self.device, 0))
        for output in self.session.get_outputs():
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, numpy.float32, self.device, 0)
            binding.bind_ortvalue_output(output.name, value)
        return binding

    def infer(self, staged: onnxruntime.IOBinding) -> onnxruntime.IOBinding:
        self.session.run_with_iobinding(staged)
        self.last = staged
        return staged

    def fetch(self, outputs: onnxruntime.IOBinding) -> Dict[str, numpy.ndarray]:
        return dict(zip(self.outputs, outputs.copy_outputs_to_cpu()))

    def synchronize(self) -> None:
        if self.device == "cuda":
            self.last.synchronize_outputs()

    def describe(self) -> Dict[str, Any]:
        return {"graph": "session", **settings.describe(self.session)}

    def close(self) -> None:
        self.session = self.last = None


class Trained(Network):
    """Module and Optimizer on the artifacts of the bundle's training file."""

    def __init__(self, program: Program, device: str, options: Options):
        if device == "cuda" and options.precision != "tf32":
            raise Unsupported("the training API takes no options of the CUDA provider, whose default is TF32")
        self.training, self.device, self.options = program.training, device, options
        self.rate = _Rate(program.training.optimizer)
        self.folder = tempfile.TemporaryDirectory()
        _generate_artifacts(program, self.folder.name)
        self._start()

    def _start(self) -> None:
        """Weights and optimizer as they are in the artifacts."""
        from onnxruntime.training import api

        training, optimizer, checkpoint = (os.path.join(self.folder.name, name) for name in _ARTIFACTS)
        self.state = api.CheckpointState.load_checkpoint(checkpoint)
        options = settings.session_options(self.options)
        self.module = api.Module(training, self.state, device=self.device, session_options=options)
        self.optimizer = api.Optimizer(optimizer, self.module)
        self.made = self.training.optimizer.step

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> List[onnxruntime.OrtValue]:
        names = self.module.input_names()
        return [onnxruntime.OrtValue.ortvalue_from_numpy(arrays[name], self.device, 0) for name in names]

    def train_step(self, staged: List[onnxruntime.OrtValue]) -> onnxruntime.OrtValue:
        loss = self.module(*staged)
        self.optimizer.set_learning_rate(self.rate(self.made))
        self.optimizer.step()
        self.module.lazy_reset_grad()
        self.made += 1
        return loss

    def loss(self, value: onnxruntime.OrtValue) -> float:
        return float(value.numpy().reshape(()))

    def gradients(self, staged: List[onnxruntime.OrtValue]) -> Dict[str, numpy.ndarray]:
        self.module.lazy_reset_grad()
        self.module(*staged)
        self.module.lazy_reset_grad()
        return {name: numpy.array(self.state.parameters[name].grad) for name in self.training.parameters}

    def parameters(self) -> Dict[str, numpy.ndarray]:
        return {name: numpy.array(self.state.parameters[name].data) for name in self.training.parameters}

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        after = {**self.parameters(), **arrays}
        # workaround: the training API has no way to put an optimizer back to its beginning
        self._start()
        for name, array in after.items():
            self.state.parameters[name] = numpy.array(array)

    def synchronize(self) -> None:
        """Steps of the training API return when they are done."""

    def describe(self) -> Dict[str, Any]:
        facts = settings.describe_options(settings.session_options(self.options))
        on_cuda = self.device == "cuda"
        return {"graph": "training API", **facts, "tf32": on_cuda, "autotune": on_cuda, "cudnn": on_cuda}

    def close(self) -> None:
        self.state = self.module = self.optimizer = None
        self.folder.cleanup()


_ARTIFACTS = ("training_model.onnx", "optimizer_model.onnx", "checkpoint")


class _Rate:
    """The rate of each step by which AdamW without its own correction of bias is ONNX's Adam: R' of ONNX's formula."""

    def __init__(self, recipe: Optimizer):
        self.rate, self.betas = recipe.learning_rate, (recipe.attributes.get("alpha"), recipe.attributes.get("beta"))

    def __call__(self, made: int) -> float:
        if not made:
            return self.rate
        first, second = self.betas
        return self.rate * (1 - second**made) ** 0.5 / (1 - first**made)


def _training_api() -> None:
    """Make `onnxruntime.training` importable without its __init__."""
    # workaround: that imports torch, which the package does not declare, for what is not used here
    name = "onnxruntime.training"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(os.path.dirname(onnxruntime.__file__), "training")]
        sys.modules[name] = onnxruntime.training = package


def _generate_artifacts(program: Program, folder: str) -> None:
    recipe = program.training.optimizer
    numbers = recipe.attributes
    if recipe.op != "Adam" or numbers["norm_coefficient"] or numbers["norm_coefficient_post"]:
        raise Unsupported(f"the training API has AdamW and plain SGD, by which ONNX's {recipe.op} cannot be had")
    _training_api()
    import onnx
    from onnxruntime.training import artifacts, onnxblock

    model = onnx.load(program.onnx_path())
    # workaround: some gradients read outputs that are optional, so they must be there
    for node in model.graph.node:
        for number in range(len(node.output), _GRADIENT_READS.get(node.op_type, 0)):
            node.output.append(f"{node.name}.output{number}")
    adam = onnxblock.optim.AdamW(
        bias_correction=False, betas=(numbers["alpha"], numbers["beta"]), eps=numbers["epsilon"], weight_decay=0.0
    )
    parameters = list(program.training.parameters)
    artifacts.generate_artifacts(model, requires_grad=parameters, optimizer=adam, artifact_directory=folder)


#: How many outputs.
_GRADIENT_READS = {"LayerNormalization": 3, "SoftmaxCrossEntropyLoss": 2}
