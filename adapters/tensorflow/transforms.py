"""Fourier transforms."""

from __future__ import annotations

import numpy
import tensorflow as tf

from ..kit.interface import Unsupported
from .common import along_last_axis, extents, scalar


def _as_complex(x, wide=True):
    """[..., 1] or [..., 2] -> [...] complex; wide: in double precision, for zeros where large terms cancel."""
    if x.dtype not in (tf.float32, tf.float64):
        raise Unsupported("a transform of {}".format(x.dtype.name))
    x = tf.cast(x, tf.float64 if wide else x.dtype)
    real = x[..., 0]
    return tf.complex(real, x[..., 1] if x.shape[-1] == 2 else tf.zeros_like(real))


def _as_pairs(z, dtype):
    return tf.cast(tf.stack([tf.math.real(z), tf.math.imag(z)], axis=-1), dtype)


def DFT(x, dft_length=None, axis=-2, *, inverse=0, onesided=0):
    z = _as_complex(x, not inverse)
    axis = scalar(axis, "axis") % len(x.shape)
    length = scalar(dft_length, "dft_length")
    real_again = inverse and onesided
    if length is None:
        length = 2 * (extents(x)[axis] - 1) if real_again else extents(x)[axis]
    wanted = length // 2 + 1 if real_again else length

    def transformed(z):
        z = z[..., :wanted]
        z = tf.pad(z, [[0, 0]] * (len(z.shape) - 1) + [[0, wanted - extents(z)[-1]]])
        if real_again:
            return tf.signal.irfft(z, [length])
        z = tf.signal.ifft(z) if inverse else tf.signal.fft(z)
        return z[..., : length // 2 + 1] if onesided else z

    y = along_last_axis(z, axis, transformed)
    return tf.cast(tf.expand_dims(y, -1), x.dtype) if real_again else _as_pairs(y, x.dtype)


def STFT(signal, window=None, *, frame_step, frame_length=None, onesided=1):
    z = _as_complex(signal)
    length = frame_length if window is None else extents(window)[0]
    frames = (extents(z)[-1] - length) // frame_step + 1
    places = numpy.arange(frames)[:, None] * frame_step + numpy.arange(length)
    z = tf.gather(z, places, axis=-1)
    if window is not None:
        z = z * tf.cast(window, z.dtype)
    z = tf.signal.fft(z)
    return _as_pairs(z[..., : length // 2 + 1] if onesided else z, signal.dtype)
