"""Asks for more memory than there is."""

from adapters.honest.adapter import HonestAdapter, HonestNetwork


class StarvingNetwork(HonestNetwork):
    def infer(self, staged):
        raise MemoryError("4 EiB wanted")


class ADAPTER(HonestAdapter):
    network = StarvingNetwork
