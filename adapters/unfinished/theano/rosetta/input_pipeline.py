"""Images from files, shuffled, batched and prefetched by a thread, for Theano has no input machinery."""

import queue
import threading
from pathlib import Path

import numpy
import theano
import theano.tensor as T


def load(file):
    number, label = file.stem.split("-")
    return numpy.fromfile(str(file), "uint8"), int(number), int(label)


def read_epoch(files, batches):
    shuffled = numpy.random.permutation(files)
    for start in range(0, len(shuffled), 50):
        batches.put([numpy.array(column) for column in zip(*map(load, shuffled[start : start + 50]))])
    batches.put(None)


files = sorted(Path("digits").iterdir())
pixels = T.matrix("pixels", dtype="uint8")
mean_of = theano.function([pixels], T.mean(pixels / numpy.float32(255)))
order, labels, sizes, means = [], [], [], []
for _ in range(2):
    batches = queue.Queue(maxsize=4)
    threading.Thread(target=read_epoch, args=(files, batches)).start()
    for images, numbers, digits in iter(batches.get, None):
        order.extend(numbers)
        labels.extend(digits)
        sizes.append(len(images))
        means.append(mean_of(images))

order, labels, sizes, means = (numpy.reshape(values, (2, -1)) for values in (order, labels, sizes, means))
numpy.savez("results.npz", order=order, labels=labels, batches=sizes, means=means.mean(1))
