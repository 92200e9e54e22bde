"""Gradients in the midst of a graph."""

from __future__ import annotations

import tensorflow as tf

from ..kit.interface import Unsupported


def Gradient(*tensors):
    """ai.onnx.preview.training Gradient-1: of the last tensor, summed, along each of the others."""
    if tf.executing_eagerly():
        raise Unsupported("an eager tensor does not know what it was computed from")
    found = tf.gradients(tensors[-1], list(tensors[:-1]), unconnected_gradients="zero")
    return tuple(found)
