"""What the Rosetta programs compute, in numpy and float64. Their texts stand in `tasks`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy

Arrays = dict[str, numpy.ndarray]

_BATCH, _RATE, _MOMENTUM = 100, 0.02, 0.9


def two_layer(given: Mapping[str, numpy.ndarray], steps: int, rate: float, momentum: float) -> Arrays:
    """Losses (steps,) and the weights after training relu(x w1) w2 against y by SGD with momentum."""
    x, y, w1, w2 = (given[name].astype(float) for name in ("x", "y", "w1", "w2"))
    v1, v2 = numpy.zeros_like(w1), numpy.zeros_like(w2)
    losses = []
    for _ in range(steps):
        hidden = numpy.maximum(x @ w1, 0)
        error = hidden @ w2 - y
        losses.append((error**2).mean())
        slope = 2 * error / error.size
        v1 = momentum * v1 + x.T @ ((slope @ w2.T) * (hidden > 0))
        v2 = momentum * v2 + hidden.T @ slope
        w1, w2 = w1 - rate * v1, w2 - rate * v2
    return {"losses": numpy.array(losses), "w1": w1, "w2": w2}


def loops(given: Mapping[str, numpy.ndarray], rate: float = 0.1) -> Arrays:
    """Losses (examples,) and w (n, n) after one step for each example, through as many tanh(h w) as it is long."""
    w = given["w"].astype(float)
    losses = []
    for x, target, length in zip(given["x"], given["target"], given["lengths"], strict=True):
        states = [x.astype(float)]
        for _ in range(length):
            states.append(numpy.tanh(states[-1] @ w))
        error = states[-1] - target
        losses.append((error**2).mean())
        slope, gradient = 2 * error / error.size, numpy.zeros_like(w)
        for before, after in zip(states[-2::-1], states[:0:-1], strict=True):
            inner = slope * (1 - after**2)
            gradient += numpy.outer(before, inner)
            slope = inner @ w.T
        w = w - rate * gradient
    return {"losses": numpy.array(losses), "w": w}


def convnet(
    weights: Mapping[str, numpy.ndarray], images: numpy.ndarray, labels: numpy.ndarray, test_images: numpy.ndarray
) -> numpy.ndarray:
    """Logits (N, 10) of test_images (N, 1, 28, 28) after an epoch over images, in batches of 100 in order."""
    net = {name: array.astype(float) for name, array in weights.items()}
    net |= {f"{name}_bias": numpy.zeros(array.shape[0 if array.ndim == 4 else 1]) for name, array in weights.items()}
    velocity = {name: numpy.zeros_like(array) for name, array in net.items()}
    for start in range(0, len(images), _BATCH):
        batch = slice(start, start + _BATCH)
        slopes = _convnet_slopes(net, images[batch].astype(float), labels[batch])
        for name, slope in slopes.items():
            velocity[name] = _MOMENTUM * velocity[name] + slope
            net[name] = net[name] - _RATE * velocity[name]
    return _convnet_forward(net, test_images.astype(float))[-1]


def _convnet_forward(net: Arrays, images: numpy.ndarray) -> list[numpy.ndarray]:
    """[patches, convolved, pooled] of both convolutions, then the logits."""
    kept, x = [], images
    for name in ("conv1", "conv2"):
        patches = _patches(x)
        convolved = numpy.einsum("nchwij,ocij->nohw", patches, net[name], optimize=True)
        convolved += net[f"{name}_bias"][:, None, None]
        x = _pool(numpy.maximum(convolved, 0))
        kept += [patches, convolved, x]
    return [*kept, x.reshape(len(x), -1) @ net["dense"] + net["dense_bias"]]


def _convnet_slopes(net: Arrays, images: numpy.ndarray, labels: numpy.ndarray) -> Arrays:
    """The gradient of the mean softmax cross-entropy with respect to every parameter."""
    patches1, convolved1, _, patches2, convolved2, pooled2, logits = _convnet_forward(net, images)
    shares = numpy.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[numpy.arange(len(labels)), labels] -= 1
    slope = shares / len(labels)
    flat = pooled2.reshape(len(labels), -1)
    slopes = {"dense": flat.T @ slope, "dense_bias": slope.sum(0)}
    slope = (slope @ net["dense"].T).reshape(pooled2.shape)
    for name, patches, convolved in (("conv2", patches2, convolved2), ("conv1", patches1, convolved1)):
        slope = _unpool(slope, numpy.maximum(convolved, 0)) * (convolved > 0)
        slopes[name] = numpy.einsum("nchwij,nohw->ocij", patches, slope, optimize=True)
        slopes[f"{name}_bias"] = slope.sum((0, 2, 3))
        # A convolution of the slope with the kernel turned round; the patches of 5x5 with padding 2 are symmetric.
        slope = numpy.einsum("nohwij,ocij->nchw", _patches(slope), net[name][:, :, ::-1, ::-1], optimize=True)
    return slopes


def _patches(x: numpy.ndarray) -> numpy.ndarray:
    """(N, C, H, W) to (N, C, H, W, 5, 5): what a 5x5 kernel sees with padding 2."""
    padded = numpy.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    patches: numpy.ndarray = numpy.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(2, 3))
    return patches


def _windows(x: numpy.ndarray) -> numpy.ndarray:
    """(N, C, H, W) to (N, C, H/2, W/2, 4): the 2x2 windows, each row by row."""
    n, channels, height, width = x.shape
    split = x.reshape(n, channels, height // 2, 2, width // 2, 2)
    return split.swapaxes(3, 4).reshape(n, channels, height // 2, width // 2, 4)


def _pool(x: numpy.ndarray) -> numpy.ndarray:
    pooled: numpy.ndarray = _windows(x).max(-1)
    return pooled


def _unpool(slope: numpy.ndarray, x: numpy.ndarray) -> numpy.ndarray:
    """The slope of a pool's input: all of it to the first maximum of a window, as PyTorch, TensorFlow and MXNet do. The
    even background of a digit makes equal values; Caffe2's own pool on a CPU gives each of them all of the slope."""
    windows = _windows(x)
    spread = numpy.zeros_like(windows)
    numpy.put_along_axis(spread, windows.argmax(-1)[..., None], slope[..., None], -1)
    n, channels, height, width = slope.shape
    return spread.reshape(n, channels, height, width, 2, 2).swapaxes(3, 4).reshape(x.shape)
