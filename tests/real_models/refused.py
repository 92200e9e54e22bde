"""What an adapter cannot do: {(adapter, model): (operator, reason)}. Whatever is not here must run, and be right.

The test fails for an entry whose model runs, or is refused for another reason.
"""

from __future__ import annotations

#: The recognition network ends in a matrix that is a node, not an initializer, and larger than what specialising folds.
_MATRIX = ("Constant", "no such operator in this adapter")

REFUSED: dict[tuple[str, str], tuple[str, str]] = {
    ("torch", "ocr-recognition"): _MATRIX,
    ("tensorflow", "ocr-recognition"): _MATRIX,
    ("mxnet", "ocr-recognition"): _MATRIX,
    ("caffe2", "ocr-recognition"): _MATRIX,
}
