"""Trains only biases."""

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork


class BiasedNetwork(TrainerNetwork):
    def train_step(self, staged):
        frozen = {name: array for name, array in self.weights.items() if array.ndim > 1}
        loss = super().train_step(staged)
        self.weights.update(frozen)
        return loss


class ADAPTER(TrainerAdapter):
    network = BiasedNetwork
