"""Leaks: it keeps what every step made, and every network that was closed."""

import numpy
from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork

KEPT = []


class LeakingNetwork(TrainerNetwork):
    def infer(self, staged):
        KEPT.append(numpy.ones(2**14, numpy.float32))  # a workspace
        return super().infer(staged)

    def close(self):
        KEPT.append(self)


class ADAPTER(TrainerAdapter):
    network = LeakingNetwork
