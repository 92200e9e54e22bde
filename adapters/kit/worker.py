"""The worker loop: requests in, replies out, one adapter, any number of networks.

Each request is {"do": name, ...} and is answered by {"ok": true, ...} or {"ok": false, "kind", "reason", ...}. What an
adapter raises ends its request, never the worker.
"""

from __future__ import annotations

import functools
import importlib
import os
import platform
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

from . import memory, ran, timing, wire
from .arrays import read_arrays, write_arrays
from .interface import INTERFACE_VERSION, Network, Options, Unsupported
from .lowering import NodeFailed
from .program import Program, read_program

#: Leaks are looked for in so many windows of so many steps, where that takes at most so many seconds.
_WINDOWS, _WINDOW_STEPS, _WINDOWS_SECONDS = 8, 2, 1.0


class Loaded:
    """A network with what the worker remembers of it. before: the account of memory before it was loaded, where it
    is the first of its process."""

    def __init__(self, program: Program, network: Network, before: Optional[Dict[str, int]] = None):
        self.program = program
        self.network = network
        self.before = before
        self._steps = {}  # type: Dict[Any, Callable[[], Any]]

    def inputs(self, path: str) -> Dict[str, Any]:
        """Input arrays of a file in the ONNX layout, turned to the Program's: outside any clock."""
        arrays = read_arrays(path)
        return {tensor.name: tensor.from_onnx(arrays[tensor.name]) for tensor in self.program.inputs}

    def to_onnx(self, arrays: Dict[str, Any]) -> Dict[str, Any]:
        return {name: self.program.tensors[name].to_onnx(array) for name, array in arrays.items()}

    def reset(self) -> None:
        """Weights and optimizer as they were when the network was loaded."""
        changing = set(self.program.training.parameters) | set(self.program.training.updates)
        self.network.set_parameters({name: self.program.weights[name] for name in changing})

    def step(self, what: str, scope: str, inputs: str) -> Callable[[], Any]:
        """One step on the inputs of a file, as a function; what it needs is staged once and kept.

        In scope `device` it starts from staged inputs, in scope `call` from arrays and ends in arrays.
        """
        key = (what, scope, inputs)
        if key not in self._steps:
            self._steps[key] = self._make_step(what, scope, self.inputs(inputs))
        return self._steps[key]

    def _make_step(self, what: str, scope: str, arrays: Dict[str, Any]) -> Callable[[], Any]:
        network = self.network
        if scope == "device":
            staged = network.stage(arrays)
            run = network.infer if what == "infer" else network.train_step
            return functools.partial(run, staged)
        if what == "infer":
            return lambda: network.fetch(network.infer(network.stage(arrays)))
        return lambda: network.loss(network.train_step(network.stage(arrays)))


class Worker:
    """Handles requests for one adapter. Every method named `do_...` is a request."""

    def __init__(self, name: str, started_ns: int):
        self.name = name
        self.started_ns = started_ns
        self.adapter = None  # type: Any
        self.loaded = {}  # type: Dict[int, Loaded]
        self.used = False

    def do_hello(self) -> Dict[str, Any]:
        """Import the framework, and say who is here."""
        begin = time.monotonic_ns()
        module = importlib.import_module(f"adapters.{self.name}.adapter")
        self.adapter = module.ADAPTER()
        version = self.adapter.version()
        end = time.monotonic_ns()
        return {
            "interface": INTERFACE_VERSION,
            "version": version,
            "python": platform.python_version(),
            "devices": self.adapter.devices(),
            "operators": sorted(self.adapter.operators()),
            "facts": self.adapter.describe(),
            "started_ns": self.started_ns,
            "import_ns": end - begin,
            "ready_ns": end,
            "pid": os.getpid(),
        }

    def do_load(self, network: int, bundle: str, device: str, options: Dict[str, Any]) -> Dict[str, Any]:
        before = None if self.used else memory.account()
        self.used = True
        begin = time.monotonic_ns()
        program = read_program(bundle)
        read = time.monotonic_ns()
        chosen = Options(**options)
        load = self._native(program.name) if chosen.mode == wire.NATIVE_MODE else self.adapter.load
        lowered = load(program, device, chosen)
        end = time.monotonic_ns()
        self.loaded[network] = Loaded(program, lowered, before)
        return {"read_ns": read - begin, "lower_ns": end - read, "facts": lowered.describe()}

    def _native(self, model: str) -> Callable[[Program, str, Options], Network]:
        """The `load` of a hand-written network, which is used as the adapter's own."""
        name = f"adapters.{self.name}.native.{model}"
        try:
            return importlib.import_module(name).load
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            raise Unsupported(f"there is no hand-written network of {model}") from None

    def do_infer(self, network: int, inputs: str, outputs: str) -> Dict[str, Any]:
        """Run once from arrays to arrays; write the outputs."""
        loaded = self.loaded[network]
        step = loaded.step("infer", "call", inputs)
        begin = time.monotonic_ns()
        results = step()
        end = time.monotonic_ns()
        write_arrays(outputs, loaded.to_onnx(results))
        return {"ns": end - begin}

    def do_train(self, network: int, inputs: List[str], steps: int, reset: bool = True) -> Dict[str, Any]:
        """Train for some steps, going round the input files; the loss of each step."""
        loaded = self.loaded[network]
        if reset:
            loaded.reset()
        batches = [loaded.step("train", "call", path) for path in inputs[:steps]]
        begin = time.monotonic_ns()
        losses = [batches[i % len(batches)]() for i in range(steps)]
        return {"losses": losses, "ns": time.monotonic_ns() - begin}

    def do_gradients(self, network: int, inputs: str, outputs: str, parameters: str = "") -> Dict[str, Any]:
        """Gradients at the first weights, or at those in the file `parameters`."""
        loaded = self.loaded[network]
        loaded.reset()
        if parameters:
            there = read_arrays(parameters)
            loaded.network.set_parameters(
                {name: loaded.program.tensors[name].from_onnx(array) for name, array in there.items()}
            )
        staged = loaded.network.stage(loaded.inputs(inputs))
        write_arrays(outputs, loaded.to_onnx(loaded.network.gradients(staged)))
        return {}

    def do_parameters(self, network: int, outputs: str) -> Dict[str, Any]:
        loaded = self.loaded[network]
        write_arrays(outputs, loaded.to_onnx(loaded.network.parameters()))
        return {}

    def do_warm_up(self, network: int, what: str, scope: str, inputs: str, budget_ns: int) -> Dict[str, Any]:
        loaded = self.loaded[network]
        if what == "train":
            loaded.reset()
        step = loaded.step(what, scope, inputs)
        return timing.warm_up(step, loaded.network.synchronize, budget_ns)

    def do_turn(
        self, network: int, what: str, scope: str, inputs: str, repetitions: int, budget_ns: int
    ) -> Dict[str, Any]:
        """One turn of samples. Training starts from the first weights each time: every turn does the same work."""
        loaded = self.loaded[network]
        if what == "train":
            loaded.reset()
        step = loaded.step(what, scope, inputs)
        return timing.take_turn(step, loaded.network.synchronize, repetitions, budget_ns)

    def do_late_work(self, network: int, what: str, inputs: str, repetitions: int) -> Dict[str, Any]:
        """Whether work goes on after the network said that it is done; see `timing.late_work`."""
        loaded = self.loaded[network]
        step = loaded.step(what, "device", inputs)
        fetch = loaded.network.fetch if what == "infer" else loaded.network.loss
        return timing.late_work(step, loaded.network.synchronize, fetch, repetitions)

    def do_ran(self, network: int, what: str, inputs: str) -> Dict[str, Any]:
        """What really ran: the network's own facts, the libraries in this process and the threads that work for it."""
        loaded = self.loaded[network]
        step = loaded.step(what, "device", inputs)
        return {"facts": ran.facts(step, loaded.network.synchronize), "network": loaded.network.describe()}

    def do_memory(self, network: int, what: str, scope: str, inputs: str, steps: int) -> Dict[str, Any]:
        """The peaks of some steps alone, counted from a fresh start."""
        loaded = self.loaded[network]
        step = loaded.step(what, scope, inputs)
        resettable = memory.reset_peak()
        loaded.network.reset_peak()
        begin = time.monotonic()
        for _ in range(steps):
            step()
        loaded.network.synchronize()
        more = _WINDOWS * _WINDOW_STEPS
        quick = (time.monotonic() - begin) / steps * more < _WINDOWS_SECONDS
        return {
            "peak_host_bytes": memory.peak_bytes(),
            "resettable": resettable,
            "account": memory.account(),
            "before": loaded.before,
            "allocator": loaded.network.memory(),
            "windows": memory.windows(step, loaded.network.synchronize, _WINDOWS, _WINDOW_STEPS) if quick else [],
        }

    def do_close(self, network: int) -> Dict[str, Any]:
        self.loaded.pop(network).network.close()
        return {}

    def answer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        arguments = dict(request)
        handler = getattr(self, "do_" + arguments.pop("do"))
        try:
            reply = handler(**arguments)
        except Unsupported as refusal:
            return {"ok": False, "kind": "unsupported", "reason": str(refusal), "operator": refusal.operator}
        except MemoryError as error:
            return {"ok": False, "kind": "failed", "reason": f"out of memory: {error}"}
        except NodeFailed as failure:
            traceback.print_exc()
            return {"ok": False, "kind": "failed", "reason": str(failure)}
        except Exception as error:  # whatever a framework raises must reach the user, and only fail this cell
            traceback.print_exc()
            return {"ok": False, "kind": "failed", "reason": f"{type(error).__name__}: {error}"}
        reply["ok"] = True
        return reply


def serve(name: str, requests_fd: int, replies_fd: int, started_ns: int) -> None:
    """Answer requests until the controller closes the pipe or says "end"."""
    worker = Worker(name, started_ns)
    with os.fdopen(requests_fd, "rb") as requests, os.fdopen(replies_fd, "wb") as replies:
        while True:
            request = wire.receive(requests)
            if request is None or request["do"] == "end":
                break
            wire.send(replies, worker.answer(request))
            sys.stdout.flush()
            sys.stderr.flush()
    for loaded in worker.loaded.values():
        loaded.network.close()
