"""Dies of a segmentation fault in its first inference."""

import os
import signal

from adapters.honest.adapter import HonestAdapter, HonestNetwork


class CrashingNetwork(HonestNetwork):
    def infer(self, staged):
        print("about to touch address zero", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class ADAPTER(HonestAdapter):
    network = CrashingNetwork
