"""One fixed colour per adapter, in every chart of every report.

Okabe and Ito's palette, which people with any common colour blindness can tell apart ("Color Universal Design",
2008); adapters beyond it get colours of Paul Tol's "muted" scheme (SRON/EPS/TN/09-002). Charts never rely on colour
alone: every mark has its adapter's name beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

_FIXED = {
    "torch": "#D55E00",
    "tensorflow": "#E69F00",
    "mxnet": "#0072B2",
    "caffe2": "#56B4E9",
    "onnxruntime": "#009E73",
    "jax": "#CC79A7",
    "openvino": "#332288",
    "tinygrad": "#882255",
    "theano": "#999933",
    "chainer": "#AA4499",
    "caffe": "#117733",
    "null": "#888888",
}
_OTHERS = ("#44AA99", "#661100", "#6699CC", "#CC6677", "#AA4466", "#4477AA")

#: Phases of a cold start, in the order in which they happen; then what the total has beyond them.
PHASES = {
    "spawn": "#888888",
    "import": "#4477AA",
    "load": "#CCBB44",
    "first result": "#EE6677",
    "other": "#DDDDDD",
}

WRONG = "#B00020"
INK = "#1b1f24"
QUIET = "#59636e"
LINE = "#d0d7de"


def colour(adapter: str, known: Iterable[str] = ()) -> str:
    """The colour of an adapter; of one without a fixed colour, by its place among the others in `known`."""
    if adapter in _FIXED:
        return _FIXED[adapter]
    others = sorted({*known, adapter} - _FIXED.keys())
    return _OTHERS[others.index(adapter) % len(_OTHERS)]
