"""Handwritten digits on photographs: scenes to find them in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.components import _mnist
from benchmarks.components._photos import LICENCE, Pixels, crops, photos, source
from pytest_aibench.datasets import Dataset, register

SIZE = 64
CLASSES = 5
MOST_DIGITS = 3
IMAGES = {"train": 1500, "test": 300}
SEEDS = {"train": 901, "test": 902}
HEIGHTS = (18, 30)
TEST_PHOTOS = ("coffee", "flower")

Box = tuple[int, int, int, int]
Image = npt.NDArray[np.float32]


@register("digits_on_photos", carriers=(_mnist.MNIST_5K,))
def load(split: str) -> Dataset:
    """Draw 1500 training or 300 test scenes of 64 x 64 pixels with one to three digits, 0 to 4.

    Samples are uint8 of shape (n, 3, 64, 64), references float32 of shape (n, 3, 5): left, top,
    right, bottom and class, which is -1 in rows that are not used. Digits are 18 to 29 pixels
    high, in one random colour that stands out from what is behind, and overlap by 10 % of their
    union at most. Photographs and digits of the test split are not in the training split.

    Raises:
        UserError: scikit-image, scikit-learn or Pillow is not installed.
        DataAbsent: The handwritten digits are not there and cannot be fetched.
    """
    random = np.random.Generator(np.random.PCG64(SEEDS[split]))
    digits = _mnist.load(split)
    few = digits.references < CLASSES
    sprites, classes = digits.samples[few, 0], digits.references[few]
    backgrounds = crops(photos(split, TEST_PHOTOS), IMAGES[split], SIZE, random)
    scenes = [_scene(background, sprites, classes, random) for background in backgrounds]
    return Dataset(
        name="digits_on_photos",
        split=split,
        samples=np.stack([image for image, _ in scenes]),
        references=np.stack([objects for _, objects in scenes]),
        licence=f"photographs {LICENCE}; digits {digits.licence}",
        source=f"{source()}; {digits.source}",
    )


def _scene(
    background: Pixels,
    sprites: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """A picture (3, h, w) and its objects (most, 5)."""
    image = background / np.float32(255)
    objects = np.full((MOST_DIGITS, 5), -1, dtype=np.float32)
    boxes: list[Box] = []
    for chosen in random.integers(len(sprites), size=random.integers(1, MOST_DIGITS + 1)):
        ink = _scaled(sprites[chosen], int(random.integers(*HEIGHTS)))
        box = _free_place(ink.shape, boxes, random)
        if box is not None:
            _paint(image, ink, box, random)
            objects[len(boxes)] = (*box, classes[chosen])
            boxes.append(box)
    return (image * 255).round().astype(np.uint8).transpose(2, 0, 1), objects


def _scaled(sprite: npt.NDArray[np.float32], height: int) -> Image:
    """The part of a sprite that has ink, so high."""
    from PIL import Image as Pillow

    rows, columns = (np.flatnonzero((sprite > 0.3).any(axis)) for axis in (1, 0))
    ink = sprite[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(4, round(height * ink.shape[1] / ink.shape[0]))
    size = (min(width, SIZE), height)
    return np.asarray(Pillow.fromarray(ink).resize(size, Pillow.Resampling.BILINEAR))


def _free_place(
    shape: tuple[int, ...], taken: list[Box], random: np.random.Generator
) -> Box | None:
    """Where an object of this shape hardly covers the others; None if twenty tries find none."""
    height, width = shape
    for _ in range(20):
        top, left = (int(random.integers(SIZE - extent + 1)) for extent in shape)
        box = (left, top, left + width, top + height)
        if all(_overlap(box, other) <= 0.1 for other in taken):
            return box
    return None


def _overlap(box: Box, other: Box) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
    return shared / (sum(areas) - shared)


def _paint(image: Image, ink: Image, box: Box, random: np.random.Generator) -> None:
    """Lay ink on an image, in a colour that differs from what is there by 0.4 on average."""
    left, top, right, bottom = box
    place = image[top:bottom, left:right]
    behind = place.mean((0, 1))
    colour = random.random(3, dtype=np.float32)
    while np.abs(colour - behind).mean() < 0.4:
        colour = random.random(3, dtype=np.float32)
    place += ink[..., None] * (colour - place)
