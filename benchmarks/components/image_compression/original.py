"""Photographs of ImageNet, whose pixels are sent as they are: patches for training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import fingerprint, lazy, original
from benchmarks.components._images import picture, resized
from benchmarks.components._photos import Pixels
from benchmarks.components.image_classification import original as imagenet
from pytest_aibench.datasets import Dataset

NAME = "imagenet_patches"
SIDES = {"train": 32, "test": 176}
PATCHES = 40
"""Of each class in an epoch."""

Image = npt.NDArray[np.float32]


@original(NAME, imagenet.TITLE, folder=imagenet.NAME)
def load(
    folder: Path,
    split: str,
    *,
    classes: int = imagenet.CLASSES,
    counts: Mapping[str, int] = imagenet.COUNTS,
) -> Dataset:
    """Load 40 000 patches of training photographs, or 1000 photographs of the validation set.

    Samples are float32 in [0, 1]. For training they are of shape (3, 32, 32), 40 of each class, and
    anew from any place of any photograph whenever they are asked for, drawn from Python's
    ``random``; references tell the class, which nobody needs. For the test they are the middle of
    the first photograph of each class, (3, 176, 176), and so are the references. Smaller
    photographs are enlarged. All are read when they are asked for.

    Raises:
        UserError: Photographs or classes are missing, or there are more.
    """
    paths, numbers = imagenet.photographs(folder, split, classes=classes, counts=counts)
    by_class = [list(members) for _, members in groupby(paths, attrgetter("parent"))]
    digest = fingerprint(folder, paths)
    if split == "train":
        samples = lazy(by_class * PATCHES, _any_patch, digest)
        references = np.tile(np.unique(numbers), PATCHES)
    else:
        samples = references = lazy([members[0] for members in by_class], _middle, digest)
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=imagenet.LICENCE,
        source=imagenet.SOURCE,
    )


def _any_patch(paths: Sequence[Path]) -> Image:
    return _cut(random.choice(paths), SIDES["train"], lambda room: random.randint(0, room))


def _middle(path: Path) -> Image:
    return _cut(path, SIDES["test"], lambda room: room // 2)


def _cut(path: Path, side: int, place: Callable[[int], int]) -> Image:
    """A square; ``place`` tells how many of the pixels that are too many lie before it."""
    pixels = _large_enough(picture(path), side)
    top, left = (place(extent - side) for extent in pixels.shape[:2])
    cut = pixels[top : top + side, left : left + side].transpose(2, 0, 1)
    shares: Image = np.divide(cut, 255, dtype=np.float32)
    return shares


def _large_enough(pixels: Pixels, side: int) -> Pixels:
    smaller = min(pixels.shape[:2])
    if smaller >= side:
        return pixels
    height, width = (round(extent * side / smaller) for extent in pixels.shape[:2])
    return resized(pixels, height, width)
