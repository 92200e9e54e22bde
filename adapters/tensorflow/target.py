"""What the operators are lowered for, where that decides which of two exact ways is taken."""

from __future__ import annotations

from contextlib import contextmanager


class Target:
    """device: "cpu" or "cuda". compiled: by XLA. training: gradients will be taken."""

    def __init__(self, device="cpu", compiled=False, training=False):
        self.device = device
        self.compiled = compiled
        self.training = training

    @property
    def kernels_on_cpu(self):
        """TensorFlow's own CPU kernels, which know fewer cases than XLA and cuDNN."""
        return self.device == "cpu" and not self.compiled


_current = [Target()]


def target():
    return _current[-1]


@contextmanager
def lowering_for(chosen):
    _current.append(chosen)
    try:
        yield
    finally:
        _current.pop()
