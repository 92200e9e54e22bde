"""Prints binary rubbish on both of its streams, and computes correctly."""

import sys

from adapters.honest.adapter import HonestAdapter, HonestNetwork

RUBBISH = bytes(range(256)) * 64


class NoisyNetwork(HonestNetwork):
    def infer(self, staged):
        sys.stdout.buffer.write(RUBBISH)
        sys.stderr.buffer.write(RUBBISH)
        return super().infer(staged)


class ADAPTER(HonestAdapter):
    network = NoisyNetwork
