"""What an adapter is: two small classes, and the one error by which it refuses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

import numpy

from .program import Program

#: The version of this interface. An adapter's adapter.toml names the one it was written for.
INTERFACE_VERSION = 1


class Unsupported(Exception):
    """The adapter cannot do what was asked, and says so instead of doing something else.

    `operator` and `node` are filled in by the lowering where the adapter leaves them out.
    """

    def __init__(self, reason: str, operator: Optional[str] = None, node: Optional[str] = None):
        super().__init__(reason)
        self.reason = reason
        self.operator = operator
        self.node = node

    def __str__(self) -> str:
        where = " ".join(part for part in (self.operator, self.node and f"({self.node})") if part)
        return f"{where}: {self.reason}" if where else self.reason


@dataclass(frozen=True)
class Options:
    """How a model shall be executed. An adapter honours each of them or raises `Unsupported`.

    mode: one of the adapter's modes, as its adapter.toml names them ("eager", "graph", "compiled", ...).
    precision: "fp32" (and nothing less anywhere inside), "tf32" (products of float32 may round operands to 10 bits
    of mantissa; a CUDA device only), "bf16" or "fp16" (the Program's own tensors are of that type: there is nothing
    to convert, and the adapter says by this option only whether it can; products may be summed up in float32).
    threads: CPU threads that one operator may use, at least 1.
    cudnn: False forbids cuDNN on a CUDA device; on a CPU it has no meaning.
    """

    mode: str
    precision: str = "fp32"
    threads: int = 1
    cudnn: bool = True

    def as_dict(self) -> Dict[str, Any]:
        return asdict(self)


class Network:
    """One Program, lowered, with its weights on its device.

    Names of arrays are the Program's names; arrays have the Program's shapes and dtypes, in the
    Program's layout. `staged` and `outputs` are whatever the framework holds on the device: the
    worker only carries them from one method to the next.
    """

    def stage(self, arrays: Dict[str, numpy.ndarray]) -> Any:
        """Put the inputs on the device, ready to be used any number of times."""
        raise NotImplementedError

    def infer(self, staged: Any) -> Any:
        """Run the Program once. May return before the device is done; see `synchronize`."""
        raise NotImplementedError

    def fetch(self, outputs: Any) -> Dict[str, numpy.ndarray]:
        """Outputs of `infer` as arrays on the host, by output name."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Return only when everything started so far is finished on the device."""
        raise NotImplementedError

    def train_step(self, staged: Any) -> Any:
        """One step: loss, gradients, optimizer, updates of running statistics. The loss, on the device."""
        raise Unsupported("this adapter does not train")

    def loss(self, value: Any) -> float:
        """What `train_step` returned, as a number."""
        return float(numpy.asarray(value).reshape(()))

    def gradients(self, staged: Any) -> Dict[str, numpy.ndarray]:
        """d loss / d parameter for every trained parameter, at the current weights, changing none."""
        raise Unsupported("this adapter does not train")

    def parameters(self) -> Dict[str, numpy.ndarray]:
        """Every initializer that training changes (parameters and running statistics), now."""
        raise Unsupported("this adapter does not train")

    def set_parameters(self, arrays: Dict[str, numpy.ndarray]) -> None:
        """Set some or all of `parameters()`, and put the optimizer back into its first state."""
        raise Unsupported("this adapter does not train")

    def memory(self) -> Dict[str, int]:
        """Bytes that the framework's own allocator reports: "allocated_bytes", "peak_bytes".

        Empty where the framework reports nothing. Never a guess.
        """
        return {}

    def reset_peak(self) -> None:
        """Start a new peak in `memory()`, where the framework can."""

    def describe(self) -> Dict[str, Any]:
        """Facts about what really runs, asked of the framework wherever it can be asked, not repeated from the options.

        Keys that mean the same in every adapter: "graph" (what is executed: "eager", "tf.function", "XLA", ...),
        "layout" (of convolutions: "NCHW", "NHWC", "blocked"), "operators" (how many the framework executes a step).
        """
        return {}

    def close(self) -> None:
        """Let go of everything. The network is not used afterwards."""


class Adapter:
    """One framework. Made once in a worker; everything expensive to import is imported by its module."""

    def version(self) -> str:
        """The framework's own version string."""
        raise NotImplementedError

    def devices(self) -> List[Dict[str, Any]]:
        """The devices it can really use here: [{"device": "cpu", "name": "..."}, {"device": "cuda", ...}]."""
        return [{"device": "cpu", "name": "CPU"}]

    def operators(self) -> List[str]:
        """The ONNX operators that it lowers itself."""
        raise NotImplementedError

    def load(self, program: Program, device: str, options: Options) -> Network:
        """Lower a Program. Raises `Unsupported` for an operator, device or option it cannot honour.

        A program with `program.training` is made to train, one without it to infer.
        """
        raise NotImplementedError

    def describe(self) -> Dict[str, Any]:
        """Facts about the framework's build and its settings.

        Keys that mean the same in every adapter: "threads" (of the pool that one operator uses), "interop_threads" (of
        the pool that runs operators side by side), "cpu_capability", "flush_denormals", "tf32", "autotune" (cuDNN tries
        algorithms), "cudnn" (its version, or False), "deterministic", "fast_math"; None where a framework cannot say.
        """
        return {}
