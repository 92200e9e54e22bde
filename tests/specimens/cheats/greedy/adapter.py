"""Ignores threads: whatever is asked for, four of them work."""

from concurrent.futures import ThreadPoolExecutor

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork

POOL = ThreadPoolExecutor(4)


class GreedyNetwork(TrainerNetwork):
    def infer(self, staged):
        return max(POOL.map(super().infer, [staged] * 4), key=id)


class ADAPTER(TrainerAdapter):
    network = GreedyNetwork
