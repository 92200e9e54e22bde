"""Digits read from files, shuffled and batched. ONNX Runtime has no input pipeline: a thread reads the next batch."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

files = sorted(Path("digits").iterdir())
random = numpy.random.default_rng()


def read(indices):
    images = numpy.stack([numpy.fromfile(str(files[index]), numpy.uint8) for index in indices])
    numbers, labels = numpy.array([files[index].stem.split("-") for index in indices], int).T
    return images.astype(numpy.float32) / 255, numbers, labels


def batches(size):
    with ThreadPoolExecutor(1) as reader:
        shuffled = random.permutation(len(files))
        pending = reader.submit(read, shuffled[:size])
        for start in range(size, len(files), size):
            ready, pending = pending, reader.submit(read, shuffled[start : start + size])
            yield ready.result()
        yield pending.result()


results = {"order": [], "labels": [], "batches": [], "means": []}
for _ in range(2):
    order, labels, sizes, means = [], [], [], []
    for images, numbers, digits in batches(50):
        order.append(numbers)
        labels.append(digits)
        sizes.append(len(images))
        means.append(images.mean())
    results["order"].append(numpy.concatenate(order))
    results["labels"].append(numpy.concatenate(labels))
    results["batches"].append(sizes)
    results["means"].append(numpy.mean(means))

numpy.savez("results.npz", **results)
