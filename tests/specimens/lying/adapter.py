"""Computes correctly on a thread of its own, and says that it is done before it is."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy
from adapters.honest.adapter import HonestAdapter, HonestNetwork


class Promise:
    """Outputs that are being computed."""

    def __init__(self, compute: Any):
        self._thread = threading.Thread(target=self._run, args=(compute,))
        self._thread.start()

    def _run(self, compute: Any) -> None:
        time.sleep(0.005)  # a device that is slow enough for the difference to show
        self._outputs = compute()

    def wait(self) -> dict[str, numpy.ndarray]:
        self._thread.join()
        return self._outputs


class LyingNetwork(HonestNetwork):
    def infer(self, staged: Any) -> Any:
        return Promise(lambda: super(LyingNetwork, self).infer(staged))

    def fetch(self, outputs: Any) -> dict[str, numpy.ndarray]:
        return outputs.wait()


class ADAPTER(HonestAdapter):
    network = LyingNetwork
