"""Is right on the models that everybody looks at, and wrong where few look."""

from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork

from adapters.kit.lowering import operators_of

from . import ops


class SloppyNetwork(TrainerNetwork):
    def __init__(self, program):
        super().__init__(program)
        self.operators = {**TrainerNetwork.operators, **operators_of(ops)}


class ADAPTER(TrainerAdapter):
    network = SloppyNetwork
