"""Fourier transforms. A complex number is a last axis of two."""

from __future__ import annotations

import numpy

import jax.numpy as jnp

from ..kit.interface import Unsupported


def _scalar(value):
    return value[0] if isinstance(value, (list, tuple)) else value


def _complex(x, wide=True):
    """wide: in double precision, for zeros where large terms cancel."""
    if x.dtype not in (jnp.float32, jnp.float64):
        raise Unsupported("a transform of {}".format(x.dtype.name))
    x = x.astype(jnp.float64) if wide else x
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]


def _pairs(z, dtype):
    return jnp.stack([z.real, z.imag], -1).astype(dtype)


def DFT(x, *, dft_length=None, axis=-2, inverse=0, onesided=0):
    axis, length = _scalar(axis) % x.ndim, _scalar(dft_length)
    z = _complex(x, not inverse)
    if inverse and onesided:
        return jnp.fft.irfft(z, length, axis)[..., None].astype(x.dtype)
    if inverse:
        return _pairs(jnp.fft.ifft(z, length, axis), x.dtype)
    spectrum = jnp.fft.fft(z, length, axis)
    if onesided:
        spectrum = jnp.take(spectrum, numpy.arange(spectrum.shape[axis] // 2 + 1), axis)
    return _pairs(spectrum, x.dtype)


def STFT(signal, window=None, *, frame_step, frame_length=None, onesided=1):
    z = _complex(signal)
    length = _scalar(frame_length) if window is None else window.shape[0]
    places = numpy.arange((z.shape[-1] - length) // _scalar(frame_step) + 1)[:, None] * _scalar(frame_step)
    frames = z[..., places + numpy.arange(length)]
    spectrum = jnp.fft.fft(frames if window is None else frames * window)
    return _pairs(spectrum[..., : length // 2 + 1] if onesided else spectrum, signal.dtype)
