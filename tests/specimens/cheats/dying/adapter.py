"""Dies of a segmentation fault, at its hundredth step."""

import os
import signal

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork


class DyingNetwork(TrainerNetwork):
    steps = 0

    def infer(self, staged):
        self.steps += 1
        if self.steps == 100:
            print("step 100", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().infer(staged)


class ADAPTER(TrainerAdapter):
    network = DyingNetwork
