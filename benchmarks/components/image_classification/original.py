"""ImageNet as it was for the challenge of 2012: a folder of photographs for each class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import by_class, expect, fingerprint, lazy, original
from benchmarks.components._images import SUFFIXES, middle
from pytest_aibench.datasets import Dataset

NAME = "imagenet"
TITLE = "ImageNet (ILSVRC 2012)"
LICENCE = "ImageNet's terms of access: for non-commercial research and education only"
SOURCE = "ImageNet Large Scale Visual Recognition Challenge 2012 (Russakovsky et al., 2015)"
CLASSES = 1000
COUNTS = {"train": 1_281_167, "test": 50_000}
FOLDERS = {"train": "train", "test": "val"}

SCALED = 256
SIDES = {"train": SCALED, "test": 224}
"""What is cut out for training leaves room for random crops."""


@original(NAME, TITLE)
def load(
    folder: Path, split: str, *, classes: int = CLASSES, counts: Mapping[str, int] = COUNTS
) -> Dataset:
    """Load 1 281 167 training photographs or the 50 000 of the validation set.

    Samples are bytes of shape (3, 256, 256) for training, (3, 224, 224) for the test: the middle of
    the photograph with its shorter side at 256 pixels. They are read when they are asked for.
    References are the ranks of the classes' folders by name, int64 of shape (n,).

    Raises:
        UserError: Photographs or classes are missing, or there are more.
    """
    paths, numbers = photographs(folder, split, classes=classes, counts=counts)
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(
            paths, partial(middle, scaled=SCALED, side=SIDES[split]), fingerprint(folder, paths)
        ),
        references=numbers,
        licence=LICENCE,
        source=SOURCE,
    )


def photographs(
    folder: Path, split: str, *, classes: int, counts: Mapping[str, int]
) -> tuple[list[Path], npt.NDArray[np.int64]]:
    """The files of a split, class by class, and the rank of each one's class.

    Raises:
        UserError: Photographs or classes are missing, or there are more.
    """
    place = folder / FOLDERS[split]
    paths, numbers = by_class(place, *SUFFIXES)
    expect(len(set(numbers.tolist())), classes, "classes", place)
    expect(len(paths), counts[split], "photographs", place)
    return paths, numbers
