"""What the operators are lowered for, where that decides which of two exact ways is taken."""

from __future__ import annotations

from contextlib import contextmanager

import tensorflow as tf


class Target:
    """device: "cpu" or "cuda". compiled: by XLA. training: gradients will be taken. bfloat16: the kernels of that type
    may be used, which sum in float32 and round the result."""

    def __init__(self, device="cpu", compiled=False, training=False, bfloat16=False):
        self.device = device
        self.compiled = compiled
        self.training = training
        self.bfloat16 = bfloat16

    @property
    def kernels_on_cpu(self):
        """TensorFlow's own CPU kernels, which know fewer cases than XLA and cuDNN."""
        return self.device == "cpu" and not self.compiled

    def rounds(self, dtype):
        """Whether the products of a type have to be taken in float32, since its own kernels round too often."""
        narrow = dtype in (tf.float16, tf.bfloat16) and self.device == "cpu"
        return narrow and not (dtype == tf.bfloat16 and self.bfloat16)


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
