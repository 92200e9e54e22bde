"""LeNet-5."""

from __future__ import annotations

from ...kit.interface import Network, Options
from ...kit.program import Program
from ._common import network


def load(program: Program, device: str, options: Options) -> Network:
    return network(program, device, options)
