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
    results = {"order": [], "labels": [], "batches": [], "means": []}
    for _ in range(2):
        order, labels, sizes, means = [], [], [], []
        for images, numbers, digits in loader:
            order.append(numbers)
            labels.append(digits)
            sizes.append(len(images))
            means.append(images.mean())
        results["order"].append(torch.cat(order))
        results["labels"].append(torch.cat(labels))
        results["batches"].append(sizes)
        results["means"].append(torch.stack(means).mean())

    numpy.savez("results.npz", **results)
