"""Handwritten digits, turned, scaled, shifted and covered with noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from benchmarks.components._mnist import MNIST_5K, SIDE
from pytest_aibench.datasets import Dataset, get, register

NAME = "distorted_mnist"
SIZE = 40
MOST_DEGREES = 60.0
SCALES = (0.7, 1.2)
MOST_SHIFT = 6.0
NOISE = 0.1
VIEWS = {"train": 3, "test": 1}
SEEDS = {"train": 1501, "test": 1502}
TEST_IMAGES = 400

Image = npt.NDArray[np.float32]


@register(NAME, carriers=(MNIST_5K,))
def load(split: str) -> Dataset:
    """Make 12 000 training images, three of each scan, or 400 test images of other scans.

    Samples are float32 of shape (n, 1, 40, 40), references int64 classes of shape (n,). Each image
    is a scan of ``mnist_5k`` that is turned by up to 60 degrees either way, scaled by 0.7 to 1.2
    and shifted by up to 6 pixels each way, all uniform, under Gaussian noise of standard deviation
    0.1. The test split has every second or third scan only, so that it is soon answered.

    Raises:
        DataAbsent: The carrier of ``mnist_5k`` is not there and cannot be fetched.
    """
    random = np.random.Generator(np.random.PCG64(SEEDS[split]))
    scans = get("mnist_5k", split)
    chosen = np.arange(len(scans)).repeat(VIEWS[split])
    if split == "test":
        chosen = np.linspace(0, len(scans) - 1, TEST_IMAGES).astype(np.intp)
    images = np.stack([distorted(scan, random) for scan in scans.samples[chosen, 0]])
    noise = random.normal(0, NOISE, images.shape)
    return Dataset(
        name=NAME,
        split=split,
        samples=(images + noise).astype(np.float32)[:, np.newaxis],
        references=scans.references[chosen],
        licence=scans.licence,
        source=f"{scans.source}; distorted here",
    )


def distorted(scan: Image, random: np.random.Generator) -> Image:
    """A scan (28, 28) turned, scaled and shifted at random, on black (40, 40); bilinear."""
    from scipy.ndimage import affine_transform

    angle = math.radians(random.uniform(-MOST_DEGREES, MOST_DEGREES))
    turned = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    to_scan = np.array(turned) / random.uniform(*SCALES)
    centre = (SIZE - 1) / 2 + random.uniform(-MOST_SHIFT, MOST_SHIFT, 2)
    offset = (SIDE - 1) / 2 - to_scan @ centre
    image: Image = affine_transform(scan, to_scan, offset, output_shape=(SIZE, SIZE), order=1)
    return image
