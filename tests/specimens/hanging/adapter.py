"""Never answers."""

import time

from adapters.honest.adapter import HonestAdapter, HonestNetwork


class HangingNetwork(HonestNetwork):
    def infer(self, staged):
        time.sleep(3600)


class ADAPTER(HonestAdapter):
    network = HangingNetwork
