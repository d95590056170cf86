"""Cityscapes: photographs of streets in German towns, and what is where on them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import by_class, expect, fingerprint, lazy, needed, original
from benchmarks.components._images import depth, picture, resized
from benchmarks.components._photos import Pixels
from pytest_aibench.datasets import Dataset

NAME = "cityscapes"
COUNTS = {"train": 2975, "test": 500}
FOLDERS = {"train": "train", "test": "val"}

SIDE = 256
SCALED = 286
"""Training pictures are larger than what the model takes, to leave room for random crops."""

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Of the 19 classes that are judged, among all that are told apart."""

PALETTE = np.array(
    [
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ],
    dtype=np.uint8,
)
"""Their colours."""

_CLASSES = np.full(256, -1, np.int8)
_CLASSES[list(IDS)] = range(len(IDS))


@original(NAME, "Cityscapes")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load 2975 training photographs, or the 500 of the validation set.

    Samples are photographs, bytes of shape (3, 286, 286) for training and (3, 256, 256) for the
    test, which is all of the photograph, narrowed to a square. References are, for training,
    pictures of labels in the same form, each of a street drawn from Python's ``random``: nothing
    tells what a photograph's own labels are. For the test they are the class of each pixel, int8
    of shape (n, 256, 256), and -1 where there is none of the 19. Pictures are read when they are
    asked for, but not the test's classes.

    Raises:
        UserError: A photograph or its labels are missing, or there are not as many.
    """
    photographs = _photographs(folder, split)
    expect(len(photographs), counts[split], "photographs", folder / "leftImg8bit" / FOLDERS[split])
    in_test = split == "test"
    labels = [_labels(folder, path, "labelIds" if in_test else "color") for path in photographs]
    digest = fingerprint(folder, chain(photographs, labels))
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(photographs, _of_test if in_test else _of_training, digest),
        references=(
            np.stack([_classes(path) for path in labels])
            if in_test
            else lazy([labels] * len(labels), _any_street, digest)
        ),
        licence="Cityscapes' terms: for non-commercial research and education only",
        source="Cityscapes, fine annotations (Cordts et al., 2016)",
    )


def _photographs(folder: Path, split: str) -> list[Path]:
    """Those of all towns."""
    paths, _ = by_class(folder / "leftImg8bit" / FOLDERS[split], ".png")
    return paths


def _labels(folder: Path, photograph: Path, kind: str) -> Path:
    """What belongs to a photograph: ``color`` or ``labelIds``."""
    split, town = photograph.parts[-3:-1]
    place = photograph.stem.removesuffix("leftImg8bit")
    return needed(folder / "gtFine" / split / town / f"{place}gtFine_{kind}.png")


def _of_training(photograph: Path) -> Pixels:
    return _colours_first(resized(picture(photograph), SCALED, SCALED))


def _of_test(photograph: Path) -> Pixels:
    return _colours_first(resized(picture(photograph), SIDE, SIDE))


def _any_street(labels: list[Path]) -> Pixels:
    return _colours_first(_thinned(picture(random.choice(labels)), SCALED))


def _classes(labels: Path) -> npt.NDArray[np.int8]:
    classes: npt.NDArray[np.int8] = _CLASSES[_thinned(depth(labels), SIDE)]
    return classes


def _colours_first(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _thinned(pixels: Pixels, side: int) -> Pixels:
    """Some of the pixels (h, w, ...), evenly spread: colours and numbers of classes do not mix."""
    rows, columns = (
        ((np.arange(side) + 0.5) * extent / side).astype(int) for extent in pixels.shape[:2]
    )
    return pixels[np.ix_(rows, columns)]
