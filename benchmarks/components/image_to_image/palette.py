"""The classes of things in a street, and pictures that show each class in its colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]
Images = npt.NDArray[np.float32]

ROAD, SIDEWALK, BUILDING, VEGETATION, SKY, CAR = range(6)
PALETTE = np.array(
    [
        [128, 64, 128],
        [244, 35, 232],
        [70, 70, 70],
        [107, 142, 35],
        [70, 130, 180],
        [0, 0, 142],
    ],
    dtype=np.uint8,
)
"""One colour for each class, as in Cityscapes."""


def painted(labels: Labels) -> Images:
    """Pictures in [0, 1], shape (n, 3, height, width), of label maps (n, height, width)."""
    pictures: Images = np.moveaxis(PALETTE[labels], -1, 1) / np.float32(255)
    return pictures


def read(pictures: Images, palette: Labels = PALETTE) -> Labels:
    """The class whose colour is nearest, (n, height, width), of pictures as `painted` makes."""
    colours = palette / np.float32(255)
    likeness = np.tensordot(pictures, colours, (1, 1)) - np.square(colours).sum(axis=1) / 2
    labels: Labels = likeness.argmax(axis=-1).astype(np.uint8)
    return labels
