"""What an adapter cannot do: {(adapter, model): (operator, reason)}. Whatever is not here must run, and be right.

The test fails for an entry whose model runs, or is refused for another reason.
"""

from __future__ import annotations

REFUSED: dict[tuple[str, str], tuple[str, str]] = {}
