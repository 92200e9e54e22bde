"""Needs a Python that nobody has, so that its environment can never be made."""

from adapters.honest.adapter import HonestAdapter as ADAPTER

__all__ = ["ADAPTER"]
