"""Pictures of groups of coloured shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 40
SLOTS = 3

SIZES = {"small": 3.0, "large": 5.0}
COLOURS = {
    "red": (0.9, 0.15, 0.15),
    "green": (0.15, 0.75, 0.2),
    "blue": (0.2, 0.3, 0.95),
    "yellow": (0.95, 0.9, 0.2),
    "purple": (0.65, 0.2, 0.8),
    "white": (0.95, 0.95, 0.95),
}
Image = npt.NDArray[np.float64]


def _disc(right: Image, down: Image, radius: float) -> Image:
    distances: Image = np.hypot(right, down) - radius
    return distances


def _ring(right: Image, down: Image, radius: float) -> Image:
    return np.abs(_disc(right, down, 0.75 * radius)) - 0.25 * radius


def _square(right: Image, down: Image, radius: float) -> Image:
    distances: Image = np.maximum(right, np.abs(down)) - 0.85 * radius
    return distances


def _triangle(right: Image, down: Image, radius: float) -> Image:
    beside = (math.sqrt(3) * right - down - radius) / 2
    distances: Image = np.maximum(down - radius / 2, beside)
    return distances


def _diamond(right: Image, down: Image, radius: float) -> Image:
    return (right + np.abs(down) - 1.1 * radius) / math.sqrt(2)


SHAPES = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
}
"""How far points lie outside of a shape, from their distances beside and below its centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One to three equal shapes."""

    number: int
    size: str
    colour: str
    shape: str


def drawn(groups: Sequence[Group], relation: int, rng: np.random.Generator) -> Image:
    """Draw one or two groups, shape (3, 40, 40) in [0, 1].

    Relation 0 puts the first to the left of the second, relation 1 above it.
    """
    image = np.empty((3, SIDE, SIDE))
    image[:] = rng.uniform(0.05, 0.35) + rng.uniform(-0.05, 0.05, size=(3, 1, 1))
    ends = (-1, 1) if len(groups) == 2 else (0,)
    for group, end in zip(groups, ends, strict=True):
        tint = np.array(COLOURS[group.colour]) + rng.uniform(-0.08, 0.08, size=3)
        for across, along in _places(group.number, end, rng):
            x, y = (across, along) if relation == 0 else (along, across)
            cover = _cover(group.shape, SIZES[group.size], x, y)
            image += cover * (tint[:, np.newaxis, np.newaxis] - image)
    return (image + rng.normal(scale=0.03, size=image.shape)).clip(0, 1)


def _places(number: int, end: int, rng: np.random.Generator) -> Image:
    """Places of a group's shapes, (number, 2): across the line between groups, and along it.

    Along it each has a third of the picture to itself, so that none hides another.
    """
    slots = rng.permutation(SLOTS)[:number] - (SLOTS - 1) / 2
    across = end * SIDE / 4 + rng.uniform(-3.5, 3.5, size=number)
    along = slots * SIDE / SLOTS + rng.uniform(-0.5, 0.5, size=number)
    return np.column_stack((across, along)) + (SIDE - 1) / 2


def _cover(shape: str, radius: float, x: float, y: float) -> Image:
    """How much of each pixel a shape covers, shape (40, 40)."""
    pixels = np.arange(SIDE, dtype=np.float64)
    beyond = SHAPES[shape](np.abs(pixels - x), pixels[:, np.newaxis] - y, radius)
    return (0.5 - beyond).clip(0, 1)
