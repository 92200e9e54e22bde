"""The order in which an operator reaches a framework: the adapter's own function, else ONNX's function body of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from harness.spec.specialise import UnsupportedModel
from harness.worker import WorkerFailed

Result = TypeVar("Result")


def with_fallbacks(operators: Collection[str], attempt: Callable[[Collection[str]], Result]) -> Result:
    """What `attempt(operators)` returns, which has an adapter lower a Program made for these operators.

    An adapter may have an operator and still refuse one call of it (an attribute, an element type). It is then asked
    again as if it lacked that operator, so that the function body takes its place. Raises the first refusal where no
    attempt succeeds, and any other failure at once.
    """
    left, first = set(operators), None
    while True:
        try:
            return attempt(left)
        except (WorkerFailed, UnsupportedModel) as refusal:
            if isinstance(refusal, WorkerFailed) and refusal.kind != "unsupported":
                raise
            first = first or refusal
            if refusal.operator not in left:
                raise first from None
            left.discard(str(refusal.operator))
