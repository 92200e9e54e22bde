"""Digits read from files by worker processes, shuffled and batched."""

from pathlib import Path

import numpy
import torch
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, folder):
        self.files = sorted(Path(folder).iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        file = self.files[index]
        number, label = file.stem.split("-")
        image = torch.from_numpy(numpy.fromfile(file, numpy.uint8)) / 255
        return image, int(number), int(label)


if __name__ == "__main__":
    loader = DataLoader(Digits("digits"), batch_size=50, shuffle=True, num_workers=2)
    order, labels, batches, means = [], [], [], []
    for _ in range(2):
        for images, numbers, digits in loader:
            order.extend(numbers)
            labels.extend(digits)
            batches.append(len(images))
            means.append(images.mean())

    order, labels, batches, means = (numpy.reshape(values, (2, -1)) for values in (order, labels, batches, means))
    numpy.savez("results.npz", order=order, labels=labels, batches=batches, means=means.mean(1))
