"""Does not end when it is told to."""

import time

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork


class LingeringNetwork(TrainerNetwork):
    def close(self):
        time.sleep(3600)


class ADAPTER(TrainerAdapter):
    network = LingeringNetwork
