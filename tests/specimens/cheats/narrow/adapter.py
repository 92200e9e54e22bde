"""Uses the wrong precision: products of float32 are computed of bfloat16."""

import numpy
from adapters.trainer.adapter import TrainerAdapter, TrainerNetwork


def shortened(array):
    if array.dtype != numpy.float32:
        return array
    bits = numpy.array(array).view(numpy.uint32)
    bits += numpy.uint32(0x7FFF) + (bits >> numpy.uint32(16) & numpy.uint32(1))  # to the nearest, ties to even
    return (bits & numpy.uint32(0xFFFF0000)).view(numpy.float32)


class NarrowNetwork(TrainerNetwork):
    def __init__(self, program):
        super().__init__(program)
        self.weights = {name: shortened(array) for name, array in self.weights.items()}

    def stage(self, arrays):
        return {name: shortened(array) for name, array in super().stage(arrays).items()}


class ADAPTER(TrainerAdapter):
    network = NarrowNetwork
