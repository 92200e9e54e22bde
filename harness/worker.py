"""One worker process: start it, ask it, park it, wake it, end it.

A worker that crashes, hangs, is killed or prints rubbish fails the request at hand, with the end of its log, and
nothing else.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.kit import wire
from harness.paths import ADAPTERS

#: Lines of a worker's log that a failure quotes.
LOG_TAIL_LINES = 12

#: Variables that would let something else than the environment decide what a worker imports.
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")


class WorkerFailed(Exception):
    """A request failed. kind: "unsupported", "failed" or "timeout"; `alive` tells whether the worker goes on."""

    def __init__(self, kind: str, reason: str, alive: bool, log_tail: str = "", operator: str | None = None):
        super().__init__(reason)
        self.kind, self.reason, self.alive, self.log_tail, self.operator = kind, reason, alive, log_tail, operator


class Worker:
    """A live worker for one adapter.

    python: the interpreter of its environment. folder: the adapter's folder. log: where its output goes. threads: CPU
    threads that its libraries may use. device: on "cpu", GPUs are hidden from it.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        log: Path,
        threads: int,
        device: str = "cpu",
        variables: Mapping[str, str] | None = None,
    ):
        self.log = log
        self.parked = False
        self._hello: dict[str, Any] | None = None
        log.parent.mkdir(parents=True, exist_ok=True)
        requests_in, requests_out = os.pipe()
        replies_in, replies_out = os.pipe()
        command = [str(python), str(ADAPTERS / "kit" / "start.py"), str(folder), str(requests_in), str(replies_out)]
        self.spawned_ns = time.monotonic_ns()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(requests_in, replies_out),
                start_new_session=True,
                cwd=log.parent,
                env=worker_variables(threads, device, variables or {}),
            )
        os.close(requests_in)
        os.close(replies_out)
        self._requests = os.fdopen(requests_out, "wb")
        self._replies = _TimedStream(replies_in)

    def greet(self, timeout: float) -> dict[str, Any]:
        """Have it import its framework, once. Raises WorkerFailed."""
        if self._hello is None:
            self._hello = self.ask("hello", timeout)
        return self._hello

    def ask(self, do: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its answer, at most `timeout` seconds. Raises WorkerFailed."""
        self.resume()
        self._replies.deadline = time.monotonic() + timeout
        try:
            wire.send(self._requests, {"do": do, **arguments})
            reply = wire.receive(self._replies)  # type: ignore[arg-type]
        except TimeoutError:
            self.kill()
            raise self._failure("timeout", f"{do}: no answer within {timeout:.0f} s") from None
        except (wire.WireError, OSError, ValueError) as error:
            self._await_death()
            raise self._failure("failed", self._death(do) or f"{do}: {error}") from None
        if reply is None:
            self._await_death()
            raise self._failure("failed", self._death(do) or f"{do}: the worker ended without an answer")
        if not reply.get("ok"):
            kind = "unsupported" if reply.get("kind") == "unsupported" else "failed"
            raise WorkerFailed(kind, str(reply.get("reason")), True, self.log_tail(), reply.get("operator"))
        return reply

    def _await_death(self) -> None:
        """Give a dying worker a moment to end by itself, so that its own exit code is seen."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self.kill()

    def park(self) -> None:
        """Stop all its threads, so that none of them takes a CPU from whoever is measured."""
        if not self.parked and self.alive():
            os.killpg(self.process.pid, signal.SIGSTOP)
            self.parked = True

    def resume(self) -> None:
        """Let a parked worker go on."""
        if self.parked:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.parked = False

    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self, timeout: float = 5.0) -> None:
        """Ask it to end; kill it if it does not."""
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            self.resume()
            wire.send(self._requests, {"do": "end"})
            self.process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End it and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.parked = False
        self.process.wait()
        for stream in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                stream.close()

    def log_tail(self) -> str:
        """The last lines that it printed."""
        try:
            text = self.log.read_bytes()[-8192:].decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    def _failure(self, kind: str, reason: str) -> WorkerFailed:
        return WorkerFailed(kind, reason, False, self.log_tail())

    def _death(self, do: str) -> str:
        code = self.process.returncode
        if code is None or code == 0:
            return ""
        if code == -signal.SIGKILL:
            return f"{do}: the worker was killed (SIGKILL); most likely the machine ran out of memory"
        if code < 0:
            return f"{do}: the worker died of {signal.Signals(-code).name}"
        return f"{do}: the worker ended with exit code {code}"


def worker_variables(threads: int, device: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a worker: the user's, less what would mix in foreign modules, plus what makes
    every framework's thread pools the same size."""
    result = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        result[name] = str(threads)
    result |= {"PYTHONNOUSERSITE": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    if device == "cpu":
        result["CUDA_VISIBLE_DEVICES"] = ""
    return result | dict(variables)


class _TimedStream(io.RawIOBase):
    """Reads from a pipe, and raises TimeoutError when the deadline passes."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.deadline = 0.0

    def read(self, count: int = -1) -> bytes:
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN | select.POLLHUP)
        remaining = max(0.0, self.deadline - time.monotonic())
        if not poll.poll(remaining * 1000):
            raise TimeoutError
        return os.read(self.descriptor, count)

    def close(self) -> None:
        if not self.closed:
            os.close(self.descriptor)
        super().close()
