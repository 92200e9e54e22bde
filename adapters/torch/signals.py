"""ONNX's operators on signals: Fourier transforms. A complex number is a last axis of two."""

from __future__ import annotations

import torch

from ..kit.interface import Unsupported


def _complex(x):
    return x.squeeze(-1) if x.shape[-1] == 1 else torch.complex(x[..., 0], x[..., 1])


def _transform(signal, length, axis, onesided):
    if onesided and not signal.is_complex():
        return torch.view_as_real(torch.fft.rfft(signal, length, axis))
    spectrum = torch.view_as_real(torch.fft.fft(signal, length, axis))
    return spectrum.narrow(axis, 0, spectrum.shape[axis] // 2 + 1) if onesided else spectrum


def DFT(x, *, dft_length=None, axis=-2, inverse=0, onesided=0):
    axis = axis + x.ndim if axis < 0 else axis
    signal = _complex(x)
    if not inverse:
        return _transform(signal, dft_length, axis, onesided)
    if onesided:
        return torch.fft.irfft(signal, dft_length, axis).unsqueeze(-1)
    if x.dtype == torch.float32:
        raise Unsupported("the complex inverse in float32: torch's rounding near zero is not ONNX's, to within 1e-7")
    return torch.view_as_real(torch.fft.ifft(signal, dft_length, axis))


def STFT(x, window=None, *, frame_step, frame_length=None, onesided=1):
    if frame_length is None:
        frame_length = x.shape[-2] if window is None else window.shape[0]
    frames = _complex(x).unfold(1, frame_length, frame_step)
    frames = frames if window is None else frames * window
    return _transform(frames, frame_length, 2, onesided)
