"""Patches of photographs to compress."""

from __future__ import annotations

import numpy as np

from benchmarks.components._photos import LICENCE, Pixels, crops, photos, source
from pytest_aibench.datasets import Dataset, register

NAME = "photo_patches"
SIZE = 32
PATCHES = {"train": 2400, "test": 300}
TEST_PHOTOS = ("chelsea", "china")
SEEDS = {"train": 1201, "test": 1202}


@register(NAME)
def load(split: str) -> Dataset:
    """Cut 2400 training or 300 test patches from photographs at half their resolution.

    Samples are float32 in [0, 1] of shape (n, 3, 32, 32), and so are the references, which are
    the samples themselves. Photographs of the test split are not in the training split.

    Raises:
        UserError: scikit-image, scikit-learn or Pillow is not installed.
    """
    random = np.random.Generator(np.random.PCG64(SEEDS[split]))
    halves = [_halved(photo) for photo in photos(split, TEST_PHOTOS)]
    patches = np.stack(crops(halves, PATCHES[split], SIZE, random)).transpose(0, 3, 1, 2)
    images = patches.astype(np.float32) / 255
    return Dataset(
        name=NAME,
        split=split,
        samples=images,
        references=images,
        licence=LICENCE,
        source=source(),
    )


def _halved(photo: Pixels) -> Pixels:
    """Every pixel the mean of four; an odd last row or column is left out."""
    height, width = (extent // 2 for extent in photo.shape[:2])
    squares = photo[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    means: Pixels = squares.mean((1, 3)).round().astype(np.uint8)
    return means
