"""Nodes that OpenVINO would answer wrongly: refused before anything runs."""

from __future__ import annotations

from ..kit.interface import Options
from ..kit.program import Program


def refuse(program: Program, options: Options) -> None:
    return None
