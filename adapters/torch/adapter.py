"""The PyTorch adapter: what the worker talks to."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from typing import Any, Callable, Dict, List, Sequence

import numpy
import torch

from ..kit.interface import Adapter, Network, Options, Unsupported
from ..kit.lowering import lower, operators_of
from ..kit.program import Program, Tensor
from . import attention, image, ops, quantization, recurrent, search, settings, shapes, signals, state
from .capture import Captured
from .dtypes import to_array, to_tensor, torch_type
from .folding import fold
from .fusion import FUSED, fuse
from .inplace import overwrite
from .layout import channels_last
from .likeness import repeated
from .optimizers import make_optimizer
from .tracing import Tracer, is_sized_by_data, sized

OPERATORS: Dict[str, Callable] = {}
for module in (ops, shapes, recurrent, image, attention, quantization, signals, search):
    OPERATORS.update(operators_of(module))

MODES = ("eager", "compiled", "cudagraphs")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


class TorchAdapter(Adapter):
    def __init__(self):
        settings.start()

    def version(self) -> str:
        return torch.__version__

    def devices(self) -> List[Dict[str, Any]]:
        found = [{"device": "cpu", "name": platform.processor() or platform.machine()}]
        if torch.cuda.is_available():
            try:
                torch.ones(1, device="cuda").add_(1).item()
            except RuntimeError:
                # workaround: torch calls CUDA available where its build has no code for the card.
                return found
            found.append({"device": "cuda", "name": torch.cuda.get_device_name()})
        return found

    def operators(self) -> List[str]:
        return sorted(OPERATORS)

    def load(self, program: Program, device: str, options: Options) -> Network:
        _check(program, device, options)
        settings.use(options)
        kind = TrainingNetwork if program.training else InferenceNetwork
        return kind(program, torch.device(device), options)

    def describe(self) -> Dict[str, Any]:
        return settings.describe()


def _check(program: Program, device: str, options: Options) -> None:
    """Refuse what cannot be honoured here."""
    settings.check(device, options)
    if options.mode not in MODES:
        raise Unsupported(f"no mode {options.mode!r}; there are {', '.join(MODES)}")
    if options.precision not in PRECISIONS:
        raise Unsupported(f"no precision {options.precision!r}; there are {', '.join(PRECISIONS)}")
    if device == "cpu" and options.mode == "cudagraphs":
        raise Unsupported("mode 'cudagraphs' needs a CUDA device")
    if options.mode == "compiled":
        _check_compiler(device)


def _check_compiler(device: str) -> None:
    """torch.compile builds C++ for a CPU, and launchers in C for what Triton builds for a GPU."""
    chosen = os.environ.get("CXX" if device == "cpu" else "CC")
    names = [chosen] if chosen else ["g++", "clang++"] if device == "cpu" else ["gcc", "clang"]
    if not any(shutil.which(name) for name in names):
        raise Unsupported(f"mode 'compiled' needs a C++ compiler, and none is here (looked for {', '.join(names)})")


def _freeze_what_infers() -> None:
    """Let torch.compile take the weights of whatever runs without gradients for constants, which they are."""
    # workaround: given to one torch.compile, this option reaches the second half of the compiler only.
    importlib.import_module("torch._inductor.config").freezing = True


class _TorchNetwork(Network):
    """What inference and training have in common: the traced module and the way in and out of the device."""

    def __init__(self, program: Program, device: torch.device, options: Options):
        self.program, self.device, self.options = program, device, options
        self.channels_last = channels_last(program, device, options)

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> List[torch.Tensor]:
        settings.use(self.options)
        return [self._tensor(arrays[tensor.name], tensor) for tensor in self.program.inputs]

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def memory(self) -> Dict[str, int]:
        return settings.memory(self.device)

    def reset_peak(self) -> None:
        settings.reset_peak(self.device)

    def describe(self) -> Dict[str, Any]:
        return {
            "graph": {"eager": "eager", "compiled": "torch.compile", "cudagraphs": "CUDA graph"}[self.options.mode],
            "layout": "NHWC" if self.channels_last else "NCHW",
            **self._operators(),
            "fused": {op: sum(node.op == op for node in self._lowered.nodes) for op in FUSED},
            **settings.pins(),
        }

    def _operators(self) -> Dict[str, int]:
        """How many calls of torch an inference is; unknown where a compiler or a backward pass makes others of them."""
        if self.options.mode == "compiled" or self.program.training:
            return {}
        return {"operators": sum(node.op in ("call_function", "call_method") for node in self.module.graph.nodes)}

    def close(self) -> None:
        self.module = self._forward = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _tensor(self, array: numpy.ndarray, tensor: Tensor) -> torch.Tensor:
        if tuple(array.shape) != tensor.shape:
            raise ValueError(f"{tensor.name}: shape {list(array.shape)} was given, {list(tensor.shape)} is wanted")
        return self._placed(tensor.name, to_tensor(array, torch_type(tensor.dtype), self.device))

    def _placed(self, name: str, x: torch.Tensor) -> torch.Tensor:
        # workaround: `contiguous` leaves a tensor of one channel as it is, which convolutions take for channels first.
        return x.to(memory_format=torch.channels_last) if name in self.channels_last else x

    def _tracer(self) -> Tracer:
        return Tracer(self.device, self.options.mode)

    def _trace(self, program: Program, tracer: Tracer, values: Dict[str, Any], results: List[str]) -> None:
        """Fill in the inputs and the constants, lower, and keep the module that computes `results`."""
        for tensor in program.inputs:
            values[tensor.name] = tracer.input(tensor.name, repeated(tensor.shape, torch_type(tensor.dtype)))
        for tensor in program.initializers:
            if tensor.name not in values:
                values[tensor.name] = self._tensor(program.weights[tensor.name], tensor)
        operators = dict(OPERATORS, RunningBatchNormalization=state.RunningBatchNormalization, **FUSED)
        self._lowered = program = fuse(program)
        with torch.device(self.device):
            lower(program, operators, values, self._expect)
        self.module = tracer.finish([values[name] for name in results], state.changes_state)
        if not program.training:
            fold(self.module)
        if self.options.mode == "compiled":
            _freeze_what_infers()
            self._forward = torch.compile(self.module, fullgraph=True, dynamic=False, options=self._compiler())
        else:
            overwrite(self.module)
            self._forward = self.module.forward

    def _compiler(self) -> Dict[str, Any]:
        """Where a file itself computes in float16 on a CPU, each step rounds to it, as ONNX says."""
        halves = any(tensor.dtype == "float16" for tensor in self.program.tensors.values())
        return {"emulate_precision_casts": True} if halves and self.device.type == "cpu" else {}

    def _expect(self, result: Any, tensor: Tensor) -> Any:
        """A node's result, which has to be of the shape and type that ONNX says."""
        if is_sized_by_data(result):
            result = sized(result, tensor.shape)
        if tuple(result.shape) != tensor.shape or result.dtype != torch_type(tensor.dtype):
            raise Unsupported(
                f"{tensor.name} became {result.dtype} {list(result.shape)} here; ONNX says {tensor.dtype} "
                f"{list(tensor.shape)}"
            )
        return result


class InferenceNetwork(_TorchNetwork):
    def __init__(self, program: Program, device: torch.device, options: Options):
        super().__init__(program, device, options)
        with torch.no_grad():
            self._trace(program, self._tracer(), {}, [tensor.name for tensor in program.outputs])
        self.module.eval()
        self._captured = None

    def infer(self, staged: List[torch.Tensor]) -> List[torch.Tensor]:
        with torch.inference_mode():
            if self.options.mode == "cudagraphs":
                if self._captured is None:
                    self._captured = Captured(self._forward, staged)
                return self._captured(staged)
            return self._forward(*staged)

    def fetch(self, outputs: List[torch.Tensor]) -> Dict[str, numpy.ndarray]:
        return {tensor.name: to_array(output) for tensor, output in zip(self.program.outputs, outputs)}


class TrainingNetwork(_TorchNetwork):
    def __init__(self, program: Program, device: torch.device, options: Options):
        super().__init__(program, device, options)
        planned, self._updates, self._kept = state.plan(program)
        self._leaves: Dict[str, List[torch.Tensor]] = {}
        tracer, values = self._tracer(), {}
        for name, kind in self._kept.items():
            trained = name in program.training.parameters
            tensor = program.tensors[name]
            dtype = torch_type(tensor.dtype)
            leaves = [self._placed(name, to_tensor(part, dtype, device)) for part in kind.split(program.weights[name])]
            self._leaves[name] = [torch.nn.Parameter(leaf) for leaf in leaves] if trained else leaves
            proxies = tuple(tracer.state(name, leaf) for leaf in self._leaves[name])
            values[name] = proxies if isinstance(kind, state.Gates) else proxies[0]
        if device.type == "cuda":
            state.flatten_recurrent(planned, self._kept, self._leaves)
        with torch.enable_grad():
            self._trace(planned, tracer, values, [program.training.loss] + list(self._updates.values()))
        self._parameters = [leaf for name in program.training.parameters for leaf in self._leaves[name]]
        self._statistics = [leaf for name in program.training.updates for leaf in self._leaves[name]]
        self._targets = [self._leaves[name][0] for name in self._updates]
        self._optimizer = make_optimizer(program.training.optimizer, self._parameters, options.mode == "cudagraphs")
        self._captured = None

    def infer(self, staged: Any) -> Any:
        raise Unsupported("this network was loaded to train; load the inference program to infer")

    def train_step(self, staged: List[torch.Tensor]) -> torch.Tensor:
        if self.options.mode != "cudagraphs":
            self._optimizer.begin()
            return self._step(*staged)
        if self._captured is None:
            everything = self._parameters + self._statistics + [t for slot in self._optimizer.slots for t in slot]
            self._captured = Captured(self._step, staged, everything)
        self._optimizer.begin()
        # A copy, since the next step will write its loss to the same place.
        return self._captured(staged).clone()

    def _step(self, *staged: torch.Tensor) -> torch.Tensor:
        loss, *updates = self._forward(*staged)
        gradients = self._differentiated(loss)
        with torch.no_grad():
            self._optimizer.apply(gradients)
            for target, value in zip(self._targets, updates):
                target.copy_(value)
        return loss.detach()

    def _differentiated(self, loss: torch.Tensor) -> Sequence[torch.Tensor]:
        """The gradient of every parameter; zeros where the loss is the same whatever they are."""
        if not loss.requires_grad:
            return [torch.zeros_like(parameter) for parameter in self._parameters]
        return torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)

    def gradients(self, staged: List[torch.Tensor]) -> Dict[str, numpy.ndarray]:
        saved = [tensor.clone() for tensor in self._statistics]
        loss, *_ = self._forward(*staged)
        found = self._differentiated(loss)
        with torch.no_grad():
            for tensor, value in zip(self._statistics, saved):
                tensor.copy_(value)
        gradients, rest = {}, list(found)
        for name in self.program.training.parameters:
            count = len(self._leaves[name])
            gradients[name] = self._kept[name].join([to_array(part) for part in rest[:count]])
            rest = rest[count:]
        return gradients

    def parameters(self) -> Dict[str, numpy.ndarray]:
        return {
            name: self._kept[name].join([to_array(leaf).copy() for leaf in leaves])
            for name, leaves in self._leaves.items()
        }

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                if name not in self._leaves:
                    raise ValueError(f"{name} is nothing that training changes")
                for leaf, part in zip(self._leaves[name], self._kept[name].split(array)):
                    leaf.copy_(to_tensor(part, leaf.dtype, self.device))
        self._optimizer.reset()


ADAPTER = TorchAdapter
