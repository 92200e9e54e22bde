"""Hangs, at its hundredth step."""

import time

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork


class SleepingNetwork(TrainerNetwork):
    steps = 0

    def infer(self, staged):
        self.steps += 1
        if self.steps == 100:
            time.sleep(3600)
        return super().infer(staged)


class ADAPTER(TrainerAdapter):
    network = SleepingNetwork
