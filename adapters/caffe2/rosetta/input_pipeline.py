"""Images from files, shuffled by epoch, fetched and batched by Caffe2's data workers."""

import random
from pathlib import Path

import numpy
from caffe2.python import data_workers, model_helper, workspace

files = sorted(Path("digits").iterdir())
waiting = []


def fetch(worker, batch_size):
    if not waiting:
        waiting.extend(random.sample(files, len(files)))
    batch = [waiting.pop() for _ in range(batch_size)]
    images = numpy.stack([numpy.fromfile(file, "uint8").astype("float32") / 255 for file in batch])
    numbers, labels = numpy.array([file.stem.split("-") for file in batch], "int32").T
    return [images, labels, numbers]


workspace.GlobalInit(["caffe2"])
model = model_helper.ModelHelper("input")
coordinator = data_workers.init_data_input_workers(
    model, ["images", "labels", "numbers"], fetch, batch_size=50, num_worker_threads=1
)
mean = model.net.AveragedLoss("images", "mean")
workspace.RunNetOnce(model.param_init_net)
workspace.CreateNet(model.net)
coordinator.start()

order, labels, batches, means = [], [], [], []
for _ in range(20):
    workspace.RunNet(model.net)
    order.extend(workspace.FetchBlob("numbers"))
    labels.extend(workspace.FetchBlob("labels"))
    batches.append(len(workspace.FetchBlob("images")))
    means.append(workspace.FetchBlob(mean))
coordinator.stop()

numpy.savez(
    "results.npz",
    order=numpy.reshape(order, (2, -1)),
    labels=numpy.reshape(labels, (2, -1)),
    batches=numpy.reshape(batches, (2, -1)),
    means=numpy.reshape(means, (2, -1)).mean(axis=1),
)
