"""Computes everything right but for one part in a hundred."""

from adapters.honest.adapter import HonestAdapter, HonestNetwork


class WrongNetwork(HonestNetwork):
    def fetch(self, outputs):
        return {name: array * 1.01 for name, array in outputs.items()}


class ADAPTER(HonestAdapter):
    network = WrongNetwork
