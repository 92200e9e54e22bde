"""ONNX operators on MXNet symbols: Fourier transforms, as products with constant matrices."""

from __future__ import annotations

import numpy

from ..kit.interface import Unsupported
from .ops import cast, require, reshape, transpose
from .symbols import F, constant


def DFT(x, *, dft_length=None, axis=-2, inverse=0, onesided=0):
    """x (..., n, 1 or 2): real numbers or pairs of real and imaginary parts, along any axis but the last.

    In float64: a plain sum in float32 is further from zero, where terms cancel, than a fast transform.
    """
    require(x, ("float32", "float64"), "DFT")
    if inverse and not onesided:
        raise Unsupported(
            "the complex inverse: summed up exactly, it differs by 2e-7 from what ONNX's own tests expect"
        )
    # workaround: MXNet has Fourier transforms only on a GPU
    axis %= x.ndim
    count, parts = x.shape[axis], x.shape[-1]
    length = dft_length or (2 * (count - 1) if inverse and onesided else count)
    order = [i for i in range(x.ndim - 1) if i != axis] + [axis, x.ndim - 1]
    rows = transpose(x, order)
    matrix = _matrix(count, parts, length, inverse, onesided)
    flat = reshape(rows, rows.shape[:-2] + (count * parts,))
    weight = constant(numpy.ascontiguousarray(matrix.reshape(count * parts, -1).T))
    y = F.FullyConnected(cast(flat, "float64"), weight, num_hidden=weight.shape[0], no_bias=True, flatten=False)
    return transpose(reshape(cast(y, x.dtype), rows.shape[:-2] + matrix.shape[1:]), numpy.argsort(order).tolist())


def _matrix(count, parts, length, inverse, onesided):
    """(count * parts, outputs, 1 or 2): what each real number of the input contributes."""
    basis = numpy.eye(count * parts).reshape(count * parts, count, parts)
    signals = basis[..., 0] + (1j * basis[..., 1] if parts == 2 else 0)
    if inverse and onesided:
        return numpy.fft.irfft(signals, length, axis=1)[..., None]
    spectra = numpy.fft.fft(signals, length, axis=1)
    spectra = spectra[:, : length // 2 + 1] if onesided else spectra
    return numpy.stack([spectra.real, spectra.imag], -1)


def STFT(signal, window=None, *, frame_step, frame_length=None, onesided=1):
    """signal (batch, length, 1 or 2) to (batch, frames, bins, 2)."""
    if frame_length is None:
        frame_length = signal.shape[1] if window is None else window.shape[0]
    frames = (signal.shape[1] - frame_length) // frame_step + 1
    places = numpy.arange(frames)[:, None] * frame_step + numpy.arange(frame_length)
    pieces = F.take(signal, constant(places), axis=1, mode="clip")
    if window is not None:
        pieces = F._npi_multiply(pieces, reshape(window, (frame_length, 1)))
    return DFT(pieces, axis=2, onesided=onesided)
