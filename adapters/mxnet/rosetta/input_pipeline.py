"""Images from files: shuffled, batched and prefetched by Gluon's DataLoader."""

from pathlib import Path

import numpy
from mxnet import gluon


class Digits(gluon.data.Dataset):
    def __init__(self, folder):
        self.files = sorted(Path(folder).iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        file = self.files[index]
        number, label = file.stem.split("-")
        return numpy.fromfile(file, dtype="uint8").astype("float32") / 255, int(label), int(number)


loader = gluon.data.DataLoader(Digits("digits"), batch_size=50, shuffle=True, num_workers=2)
order, labels, batches, means = [], [], [], []
for _ in range(2):
    epoch_means = []
    for images, batch_labels, numbers in loader:
        order.extend(numbers.asnumpy())
        labels.extend(batch_labels.asnumpy())
        batches.append(len(images))
        epoch_means.append(images.mean().asscalar())
    means.append(numpy.mean(epoch_means))

numpy.savez(
    "results.npz",
    order=numpy.reshape(order, (2, -1)),
    labels=numpy.reshape(labels, (2, -1)),
    batches=numpy.reshape(batches, (2, -1)),
    means=means,
)
