"""Ease of use, measured: programs that do the same in every framework, mistakes that a user makes, what it takes to get
started, and what an adapter needed. Every figure is computed from something that was run or parsed.

`metrics` has every metric with its formula; `wide` and `score` are for whoever reads the figures of a run.
"""

from harness.ease.scoring import score, wide

__all__ = ["score", "wide"]
