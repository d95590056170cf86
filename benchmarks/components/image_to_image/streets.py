"""Streets as a driver sees them, drawn at random: what is where."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.components.image_to_image.palette import (
    BUILDING,
    CAR,
    ROAD,
    SIDEWALK,
    SKY,
    VEGETATION,
    Labels,
)

SIZE = 32

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

DOWN, RIGHT = np.mgrid[:SIZE, :SIZE] + 0.5


def streets(random: Random, n: int) -> Labels:
    """Label maps of so many streets, shape (n, SIZE, SIZE).

    The camera looks up or down and is held a little askew. A straight road of some width runs to
    some point on the horizon, through a town or through green, with up to three cars on it. Four
    houses and three trees or bushes stand on the horizon, where they may hide each other.
    """
    askew = per_street(random, -0.3, 0.3, n) * (RIGHT - SIZE / 2)
    below_horizon = DOWN + askew - per_street(random, 6, 24, n)
    nearness = below_horizon / 20
    course = per_street(random, 2, 30, n) + nearness * per_street(random, -16, 16, n)
    labels = np.full((n, SIZE, SIZE), SKY, dtype=np.uint8)
    for _ in range(4):
        _build(random, labels, below_horizon)
    for _ in range(3):
        _plant(random, labels, below_horizon)
    _pave(random, labels, nearness, RIGHT - course)
    for _ in range(3):
        _park(random, labels, nearness, RIGHT - course)
    return labels


def per_street(random: Random, least: float, most: float, n: int) -> Floats:
    """One number for each street, to be broadcast over its pixels."""
    return random.uniform(least, most, (n, 1, 1))


def _build(random: Random, labels: Labels, below_horizon: Floats) -> None:
    n = len(labels)
    aside = np.abs(RIGHT - per_street(random, 0, SIZE, n))
    under_roof = below_horizon > per_street(random, -15, -3, n)
    labels[under_roof & (aside < per_street(random, 2, 7, n))] = BUILDING


def _plant(random: Random, labels: Labels, below_horizon: Floats) -> None:
    n = len(labels)
    aside = RIGHT - per_street(random, 0, SIZE, n)
    below = below_horizon + per_street(random, 0, 5, n)
    labels[np.hypot(aside, below) < per_street(random, 0.5, 6, n)] = VEGETATION


def _pave(random: Random, labels: Labels, nearness: Floats, aside: Floats) -> None:
    n = len(labels)
    ground = nearness > 0
    green = per_street(random, 0, 1, n) < 0.5
    half_road = nearness * per_street(random, 12, 22, n)
    labels[ground & green] = VEGETATION
    labels[ground & (~green | (np.abs(aside) < 1.3 * half_road + 1))] = SIDEWALK
    labels[ground & (np.abs(aside) < half_road)] = ROAD


def _park(random: Random, labels: Labels, nearness: Floats, aside: Floats) -> None:
    """Place a car, or none where it would be too far away to be seen."""
    n = len(labels)
    place = per_street(random, -0.2, 1, n)
    across = np.abs(aside - place * per_street(random, -8, 8, n))
    above_tyres = place - nearness
    upright = (above_tyres > 0) & (above_tyres < 0.5 * place)
    labels[(place > 0.15) & upright & (across < 6.5 * place)] = CAR
