"""Has no operators at all."""

from adapters.honest.adapter import HonestAdapter

from adapters.kit.interface import Unsupported


class ADAPTER(HonestAdapter):
    def load(self, program, device, options):
        raise Unsupported("no such operator in this adapter", operator="Gemm")
