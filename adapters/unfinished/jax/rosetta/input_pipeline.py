"""Digits read from files by threads, shuffled and batched, each batch put on the device before it is asked for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy


def load(files):
    images = numpy.stack([numpy.fromfile(file, numpy.uint8) for file in files])
    numbers, labels = numpy.array([file.stem.split("-") for file in files], int).T
    return jax.device_put(images), numbers, labels


def batches_of(files, rng, size=50):
    files = rng.permutation(files)
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(load, numpy.split(files, len(files) // size))


files = sorted(Path("digits").iterdir())
rng = numpy.random.default_rng()
order, labels, batches, means = [], [], [], []
for _ in range(2):
    for images, numbers, digits in batches_of(files, rng):
        order.extend(numbers)
        labels.extend(digits)
        batches.append(len(images))
        means.append(jnp.mean(images / 255))

order, labels, batches, means = (numpy.reshape(values, (2, -1)) for values in (order, labels, batches, means))
numpy.savez("results.npz", order=order, labels=labels, batches=batches, means=means.mean(1))
