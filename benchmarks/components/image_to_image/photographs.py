"""Photographs of streets: label maps with colours, textures, light and noise."""

from __future__ import annotations

import numpy as np

from benchmarks.components.image_to_image.palette import BUILDING, SKY, Images, Labels
from benchmarks.components.image_to_image.streets import (
    DOWN,
    RIGHT,
    SIZE,
    Floats,
    Random,
    per_street,
)

# Of road, sidewalk, building, vegetation, sky and car, as they are numbered.
_COLOURS = np.array(
    [
        [0.36, 0.35, 0.38],
        [0.66, 0.58, 0.62],
        [0.50, 0.40, 0.35],
        [0.28, 0.42, 0.16],
        [0.60, 0.76, 0.92],
        [0.30, 0.25, 0.45],
    ]
)
_VARIETY = np.array([0.04, 0.06, 0.11, 0.05, 0.07, 0.18])
_ROUGHNESS = np.array([0.05, 0.10, 0.12, 0.25, 0.05, 0.15])


def photographs(random: Random, labels: Labels) -> Images:
    """Pictures in [0, 1], shape (n, 3, SIZE, SIZE), of streets (n, SIZE, SIZE).

    In each street the classes have colours of their own, which overlap with those that other
    classes have elsewhere, and one light falls on all.
    """
    shades = _texture(random, labels) * _light(random, labels)
    tint = random.normal(1, 0.06, (len(labels), 1, 1, 3))
    pictures = _colours(random, labels) * tint * shades[..., np.newaxis]
    pictures += random.normal(0, 0.015, pictures.shape)
    return np.moveaxis(pictures, -1, 1).clip(0, 1).astype(np.float32)


def _colours(random: Random, labels: Labels) -> Floats:
    """The colour of each pixel's class in its street, (n, SIZE, SIZE, 3)."""
    n, classes = len(labels), len(_COLOURS)
    brightness, hue = random.normal(size=(n, classes, 1)), random.normal(size=(n, classes, 3))
    colours = _COLOURS + _VARIETY[:, np.newaxis] * (brightness + 0.5 * hue)
    chosen: Floats = colours[np.arange(n)[:, np.newaxis, np.newaxis], labels]
    return chosen


def _texture(random: Random, labels: Labels) -> Floats:
    """Grain that depends on the class, and rows of windows in houses."""
    texture = 1 + _ROUGHNESS[labels] * random.normal(size=labels.shape)
    row, column = random.integers(4, size=(2, len(labels), 1, 1))
    window = ((DOWN + row) % 4 < 2) & ((RIGHT + column) % 4 < 2)
    texture[(labels == BUILDING) & window] *= 0.6
    return texture


def _light(random: Random, labels: Labels) -> Floats:
    """Bright or dull, brighter to one side, with a shadow over all but the sky on the left."""
    n = len(labels)
    light = per_street(random, 0.6, 1.25, n)
    to_the_right = 1 + per_street(random, -0.3, 0.3, n) * (RIGHT / SIZE - 0.5)
    edge = per_street(random, -6, 38, n) + per_street(random, -1, 1, n) * (DOWN - SIZE / 2)
    shadow = np.where((edge > RIGHT) & (labels != SKY), per_street(random, 0.55, 1, n), 1)
    lit: Floats = light * to_the_right * shadow
    return lit
