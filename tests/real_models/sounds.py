"""Sounds with the structure of what audio networks listen to: made from formulas, float64 in [-1, 1], mono."""

from __future__ import annotations

import numpy
import scipy.signal

#: Formants of vowels (a, i, u, e), in hertz, with their bandwidths.
_VOWELS = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
_BANDWIDTHS = (80, 90, 120)

#: Seconds of one syllable and of the pause behind it.
_SYLLABLE, _PAUSE = 0.22, 0.08


def speech(count: int, rate: int, seed: int) -> numpy.ndarray:
    """`count` samples of vowels: pulses of a gliding pitch through three resonators, a hiss before each."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    samples = numpy.zeros(count)
    begin = int(0.02 * rate)
    while begin < count:
        length = min(int(_SYLLABLE * generator.uniform(0.8, 1.3) * rate), count - begin)
        samples[begin : begin + length] = _syllable(length, rate, generator)
        begin += length + int(_PAUSE * generator.uniform(0.5, 2.0) * rate)
    return 0.7 * samples / max(float(numpy.abs(samples).max()), 1e-9) + 1e-3 * generator.standard_normal(count)


def _syllable(count: int, rate: int, generator: numpy.random.Generator) -> numpy.ndarray:
    time = numpy.arange(count) / rate
    pitch = generator.uniform(100, 180) * (1 + 0.15 * numpy.sin(2 * numpy.pi * 3 * time + generator.uniform(0, 6)))
    phase = numpy.cumsum(pitch) / rate
    voice = numpy.diff(numpy.floor(phase), prepend=0.0)
    for formant, width in zip(_VOWELS[generator.integers(len(_VOWELS))], _BANDWIDTHS, strict=True):
        radius = numpy.exp(-numpy.pi * width / rate)
        poles = [1, -2 * radius * numpy.cos(2 * numpy.pi * formant / rate), radius**2]
        voice = scipy.signal.lfilter([1 - radius], poles, voice)
    voice /= max(float(numpy.abs(voice).max()), 1e-9)
    hiss = 0.1 * generator.standard_normal(count) * numpy.exp(-time / 0.02)
    return numpy.sin(numpy.pi * numpy.arange(count) / count) ** 0.5 * voice + hiss


def notes(count: int, rate: int, seed: int) -> numpy.ndarray:
    """`count` samples of plucked chords: eight decaying harmonics for each of three notes, two chords a second."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    samples = numpy.zeros(count)
    for begin in range(0, count, rate // 2):
        time = numpy.arange(count - begin) / rate
        for key in generator.choice(numpy.arange(45, 76), 3, replace=False):
            pitch = 440.0 * 2 ** ((int(key) - 69) / 12)
            for harmonic in range(1, 9):
                decay = numpy.exp(-time * (1.5 + harmonic))
                samples[begin:] += decay * numpy.sin(2 * numpy.pi * harmonic * pitch * time) / harmonic
    return 0.7 * samples / max(float(numpy.abs(samples).max()), 1e-9)


def spectrogram(samples: numpy.ndarray, frames: int, size: int, hop: int) -> numpy.ndarray:
    """Power [frames, size // 2 + 1] in Hann windows of `size` samples that begin every `hop` samples."""
    padded = numpy.pad(samples, (0, max(0, (frames - 1) * hop + size - len(samples))))
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:frames]
    return numpy.abs(numpy.fft.rfft(windows * numpy.hanning(size), axis=1)) ** 2


def mel(power: numpy.ndarray, rate: int, bands: int) -> numpy.ndarray:
    """Power [frames, bins] gathered by triangles that are equally spaced on the mel scale: [frames, bands]."""
    mels = numpy.linspace(0, 2595 * numpy.log10(1 + rate / 2 / 700), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = numpy.linspace(0, rate / 2, power.shape[1])[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return power @ numpy.maximum(0, numpy.minimum(rising, falling))


def decibels(power: numpy.ndarray) -> numpy.ndarray:
    """Decibels below the largest value, at most 80 of them, moved to [-1, 1]: what such networks are trained on."""
    return (numpy.maximum(10 * numpy.log10(power / power.max() + 1e-10), -80) + 40) / 40
