"""The Rosetta tasks: what every framework's program does, the data it is given, and how its results are judged.

A program runs in a folder that holds `data.npz` and leaves `results.npz` there. Its results are held against numpy's in
float64, so that programs that pass have computed the same numbers.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy

from harness import data
from harness.ease import references

Arrays = dict[str, numpy.ndarray]

CHANNELS_LAST = "channels-last"

_SEED = 2026


@dataclass(frozen=True)
class Task:
    """One thing to program.

    about: the assignment, with the names and shapes of data and results. purpose: "infer" or "train", the environment
    it runs in. prepare: writes what the program is given into a folder, for a framework of the given layout.
    objection: what is wrong with results, "" if nothing is.
    """

    name: str
    title: str
    purpose: str
    about: str
    prepare: Callable[[Path, str], None]
    objection: Callable[[Mapping[str, numpy.ndarray]], str]


def _two_layer() -> Arrays:
    """x (64, 100), y (64, 10), w1 (100, 32), w2 (32, 10): float32."""
    random = numpy.random.Generator(numpy.random.PCG64(_SEED))
    shapes = {"x": (64, 100), "y": (64, 10), "w1": (100, 32), "w2": (32, 10)}
    arrays = {name: random.standard_normal(shape).astype(numpy.float32) for name, shape in shapes.items()}
    return {**arrays, "w1": arrays["w1"] / numpy.float32(10), "w2": arrays["w2"] / numpy.float32(6)}


def _write_two_layer(folder: Path, layout: str) -> None:
    save(folder / "data.npz", _two_layer())


def _check_two_layer(results: Mapping[str, numpy.ndarray]) -> str:
    return differs(results, references.two_layer(_two_layer(), steps=30, rate=0.5, momentum=0.0), 1e-3)


def _check_checkpoint(results: Mapping[str, numpy.ndarray]) -> str:
    return differs(results, references.two_layer(_two_layer(), steps=20, rate=0.1, momentum=0.9), 1e-3)


def _outputs() -> numpy.ndarray:
    given = _two_layer()
    outputs: numpy.ndarray = numpy.maximum(given["x"].astype(float) @ given["w1"], 0) @ given["w2"]
    return outputs


def _check_roundtrip(results: Mapping[str, numpy.ndarray]) -> str:
    return differs(results, {"before": _outputs(), "after": _outputs()}, 1e-4)


def _check_gpu(results: Mapping[str, numpy.ndarray]) -> str:
    if "device" not in results or results["device"].dtype.kind != "U":
        return "results.npz holds no text `device`"
    return differs(results, {"outputs": _outputs()}, 1e-3)


def _convnet() -> Arrays:
    """Weights of the convnet, channels first; the dense layer's are (inputs, outputs)."""
    random = numpy.random.Generator(numpy.random.PCG64(_SEED))
    shapes = {"conv1": (8, 1, 5, 5), "conv2": (16, 8, 5, 5), "dense": (16 * 7 * 7, 10)}
    weights = {}
    for name, shape in shapes.items():
        inputs = shape[0] if name == "dense" else int(numpy.prod(shape[1:]))
        weights[name] = (random.standard_normal(shape) * (2 / inputs) ** 0.5).astype(numpy.float32)
    return weights


def _write_convnet(folder: Path, layout: str) -> None:
    split, weights = data.split(), _convnet()
    images, test_images = split.train_images, split.test_images
    if layout == CHANNELS_LAST:
        images, test_images = (batch.transpose(0, 2, 3, 1) for batch in (images, test_images))
        weights |= {name: weights[name].transpose(2, 3, 1, 0) for name in ("conv1", "conv2")}
        weights["dense"] = weights["dense"].reshape(16, 7, 7, 10).transpose(1, 2, 0, 3).reshape(-1, 10)
    arrays = {"images": images, "labels": split.train_labels, "test_images": test_images}
    save(folder / "data.npz", {**arrays, "test_labels": split.test_labels, **weights})


@functools.cache
def _convnet_logits() -> numpy.ndarray:
    split = data.split()
    return references.convnet(_convnet(), split.train_images, split.train_labels, split.test_images)


def _check_convnet(results: Mapping[str, numpy.ndarray]) -> str:
    split = data.split()
    wrong = differs(results, {"logits": _convnet_logits()}, 1e-2)
    if wrong or "accuracy" not in results:
        return wrong or "results.npz holds no `accuracy`"
    right = float((results["logits"].argmax(1) == split.test_labels).mean())
    told = float(results["accuracy"])
    return "" if abs(told - right) < 1e-3 else f"accuracy is {right:.4f} by its logits, {told:.4f} by its own account"


def _operator() -> Arrays:
    """x, v (40,): float32."""
    random = numpy.random.Generator(numpy.random.PCG64(_SEED))
    return {name: random.standard_normal(40).astype(numpy.float32) for name in ("x", "v")}


def _write_operator(folder: Path, layout: str) -> None:
    save(folder / "data.npz", _operator())


def _check_operator(results: Mapping[str, numpy.ndarray]) -> str:
    x, v = (array.astype(float) for array in _operator().values())
    root = numpy.sqrt(x * x + 1)
    gradient = v * (x / (2 * root) + 1)
    exact = differs(results, {"y": (root - 1) / 2 + x, "gradient": gradient}, 1e-4)
    return exact or differs(results, {"numeric": gradient}, 2e-2)


def _loops() -> Arrays:
    """x, target (20, 8), w (8, 8): float32; lengths (20,): int64, 1 to 9."""
    random = numpy.random.Generator(numpy.random.PCG64(_SEED))
    arrays = {name: random.standard_normal((20, 8)).astype(numpy.float32) for name in ("x", "target")}
    arrays["w"] = (random.standard_normal((8, 8)) / 3).astype(numpy.float32)
    return {**arrays, "lengths": random.integers(1, 10, 20)}


def _write_loops(folder: Path, layout: str) -> None:
    save(folder / "data.npz", _loops())


def _check_loops(results: Mapping[str, numpy.ndarray]) -> str:
    return differs(results, references.loops(_loops()), 1e-3)


FILES, FILES_PER_BATCH, EPOCHS = 500, 50, 2


def _digits() -> tuple[numpy.ndarray, numpy.ndarray]:
    """uint8 images (500, 784) and their labels."""
    images, labels = data.mnist_pixels()
    return images[:FILES], labels[:FILES]


def _write_files(folder: Path, layout: str) -> None:
    (folder / "digits").mkdir()
    for number, (image, label) in enumerate(zip(*_digits(), strict=True)):
        (folder / "digits" / f"{number:05}-{label}.bin").write_bytes(image.tobytes())


def _check_files(results: Mapping[str, numpy.ndarray]) -> str:
    images, labels = _digits()
    shapes = {"order": (EPOCHS, FILES), "labels": (EPOCHS, FILES), "batches": (EPOCHS, FILES // FILES_PER_BATCH)}
    for name, shape in shapes.items():
        if name not in results or results[name].shape != shape:
            return f"results.npz holds no `{name}` of shape {shape}"
    order = results["order"]
    if not (numpy.sort(order, 1) == numpy.arange(FILES)).all():
        return "not every file was read once in each epoch"
    if (order[0] == order[1]).all() or any((epoch == numpy.arange(FILES)).all() for epoch in order):
        return "the files were not shuffled anew for each epoch"
    if not (results["labels"] == labels[order]).all():
        return "labels do not belong to their images"
    if not (results["batches"] == FILES_PER_BATCH).all():
        return f"batches are not of {FILES_PER_BATCH}"
    return differs(results, {"means": numpy.full(EPOCHS, images.mean() / 255)}, 1e-4)


BLOCKS = 4


def nan_data(planted: int) -> Arrays:
    """x (16, 20) and w1 to w4 (20, 20), float32, where `block{planted}` divides zero by zero."""
    random = numpy.random.Generator(numpy.random.PCG64(_SEED))
    arrays = {"x": random.uniform(0, 1, (16, 20))}
    for block in range(1, BLOCKS + 1):
        arrays[f"w{block}"] = random.uniform(0, 1, (20, 20)) * (-1 if block == planted else 1)
    return {name: array.astype(numpy.float32) for name, array in arrays.items()}


_PLANTED = 3


def _write_nan(folder: Path, layout: str) -> None:
    save(folder / "data.npz", nan_data(_PLANTED))


def _check_nan(results: Mapping[str, numpy.ndarray]) -> str:
    found = str(results["layer"]) if "layer" in results else "nothing"
    return "" if found == f"block{_PLANTED}" else f"it named {found}; the NaN is made in block{_PLANTED}"


def save(path: Path, arrays: Mapping[str, numpy.ndarray]) -> None:
    """Write arrays as an .npz file, contiguous."""
    numpy.savez(path, **{name: numpy.ascontiguousarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def read(path: Path) -> Arrays:
    """The arrays of an .npz file, objects refused. Raises ValueError or OSError where it is none."""
    with numpy.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def differs(results: Mapping[str, numpy.ndarray], expected: Mapping[str, numpy.ndarray], tolerance: float) -> str:
    """The first result that is missing or farther off than tolerance times the largest expected magnitude; or ""."""
    for name, right in expected.items():
        if name not in results:
            return f"results.npz holds no `{name}`"
        got = results[name]
        if got.shape != right.shape:
            return f"`{name}` is of shape {got.shape}, not {right.shape}"
        error = float(numpy.abs(got.astype(float) - right).max() / numpy.abs(right).max())
        if not error <= tolerance:
            return f"`{name}` is off by {error:.2g} of its largest value; {tolerance:g} is allowed"
    return ""


_TWO_LAYER = """data: x (64, 100), y (64, 10), w1 (100, 32), w2 (32, 10), float32.
The net is relu(x w1) w2, the loss the mean of all (64 * 10) squared differences from y.
Thirty steps of gradient descent on the whole batch, learning rate 0.5.
results: losses (30,), each before its step; w1, w2 after the last."""

TASKS = {
    task.name: task
    for task in (
        Task(
            "two_layer_by_hand",
            "A two-layer net, gradients written out",
            "train",
            _TWO_LAYER + "\nThe gradients and the updates are written out with the framework's own operations.",
            _write_two_layer,
            _check_two_layer,
        ),
        Task(
            "two_layer_autograd",
            "The same net by automatic differentiation",
            "train",
            _TWO_LAYER + "\nThe framework differentiates; the updates are its optimizer's or written out, as is usual.",
            _write_two_layer,
            _check_two_layer,
        ),
        Task(
            "convnet",
            "A convnet by the high-level API, on MNIST",
            "train",
            """data: images (4000, 1, 28, 28) normalised, labels (4000,) int64, test_images (1000, 1, 28, 28),
test_labels; weights conv1 (8, 1, 5, 5), conv2 (16, 8, 5, 5), dense (784, 10) as (inputs, outputs). For a framework of
layout channels-last: images (N, 28, 28, 1), conv weights (5, 5, in, out), the dense layer's rows in that order.
The net: conv1 5x5 pad 2, relu, max-pool 2x2; conv2 5x5 pad 2, relu, max-pool 2x2; flatten; dense. Biases begin at 0.
One epoch of 40 batches of 100 in the order given; softmax cross-entropy, mean over the batch; SGD, learning rate 0.02,
momentum 0.9 (v = 0.9 v + g; w = w - 0.02 v).
results: logits (1000, 10) of the test images after training; accuracy on them, from 0 to 1.""",
            _write_convnet,
            _check_convnet,
        ),
        Task(
            "new_operator",
            "A new differentiable operator with its own gradient",
            "train",
            """data: x (40,), v (40,), float32.
A new operator, bent identity: y = (sqrt(x^2 + 1) - 1) / 2 + x, whose gradient x / (2 sqrt(x^2 + 1)) + 1 is written by
the user and not derived by the framework. It is then checked numerically, by the framework's own checker where it has
one.
results: y (40,); gradient (40,) of sum(y v) with respect to x, through the framework; numeric (40,): the same by
finite differences.""",
            _write_operator,
            _check_operator,
        ),
        Task(
            "control_flow",
            "Training through a loop whose length is data",
            "train",
            """data: x (20, 8), target (20, 8), lengths (20,) int64 from 1 to 9, w (8, 8).
For each of the 20 examples in order: h = x[i]; lengths[i] times h = tanh(h w); the loss is the mean of
(h - target[i])^2; one step of gradient descent on w, learning rate 0.1.
results: losses (20,), each before its step; w after the last.""",
            _write_loops,
            _check_loops,
        ),
        Task(
            "input_pipeline",
            "Input from files, shuffled, batched, prefetched",
            "train",
            """A folder digits/ of 500 files such as 00042-7.bin: number 42, label 7, 784 bytes of a 28x28 grey image.
Read them from disk, shuffle them anew for each epoch, batch by 50, prefetch while the consumer works, which takes one
batch after the other. Two epochs. No data.npz.
results: order (2, 500), labels (2, 500): number and label of the files in the order in which they came; batches
(2, 10): the sizes of batches; means (2,): the mean of all pixels, divided by 255, of each epoch as the consumer got
them.""",
            _write_files,
            _check_files,
        ),
        Task(
            "checkpoint",
            "Save, load in a fresh process, go on training",
            "train",
            """data: as in two_layer_autograd. The net is built of the framework's layers where it has such. Ten steps
with SGD, learning rate 0.1, momentum 0.9 (v = 0.9 v + g; w = w - 0.1 v); everything that training needs is saved as the
framework saves it; a fresh process (the program starts itself) loads it and takes ten more.
results: losses (20,), each before its step; w1, w2 after the last: the same as in one go.""",
            _write_two_layer,
            _check_checkpoint,
        ),
        Task(
            "onnx_roundtrip",
            "To ONNX and back",
            "infer",
            """data: as in two_layer_autograd. The net relu(x w1) w2 is exported to model.onnx, and that file is loaded
back into the framework. results: before (64, 10), after (64, 10): its outputs before and after.""",
            _write_two_layer,
            _check_roundtrip,
        ),
        Task(
            "use_gpu",
            "On the GPU if there is one",
            "infer",
            """data: as in two_layer_autograd. The net relu(x w1) w2, built of the framework's layers where it has such,
infers on the GPU where there is one, else on the CPU.
results: outputs (64, 10); device: text, what it ran on as the framework calls it.""",
            _write_two_layer,
            _check_gpu,
        ),
        Task(
            "find_nan",
            "Find the layer that makes a NaN",
            "infer",
            """data: x (16, 20), w1, w2, w3, w4 (20, 20). Four layers named block1 to block4, each
h = relu(h w); h = h / (the sum of each row of h). One of them divides zero by zero. By the shortest route that the
framework offers, find which: the answer must come from what the framework says, not from knowing the data.
results: layer: text, "block1" to "block4".""",
            _write_nan,
            _check_nan,
        ),
    )
}
