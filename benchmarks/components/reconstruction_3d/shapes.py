"""Solid furniture of random proportions, made of boxes and cylinders.

A solid is a boolean array of shape (SIDE, SIDE, SIDE) over the cube [-0.5, 0.5]³: height first,
then the axis from back to front, then the one from left to right. Furniture stands on the floor
at height -0.45 and faces the front.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Solid = npt.NDArray[np.bool_]
Range = tuple[float, float]

SIDE = 24

_FLOOR = -0.45
_CENTRES = (np.arange(SIDE) + 0.5) / SIDE - 0.5
_UP, _FRONT, _RIGHT = np.meshgrid(_CENTRES, _CENTRES, _CENTRES, indexing="ij")


def box(up: Range, front: Range, right: Range) -> Solid:
    """All voxels whose centres lie within the ranges."""
    inside = (_within(_UP, up), _within(_FRONT, front), _within(_RIGHT, right))
    solid: Solid = np.logical_and.reduce(inside)
    return solid


def cylinder(up: Range, radius: float) -> Solid:
    """An upright cylinder about the cube's axis."""
    solid: Solid = _within(_UP, up) & (np.hypot(_FRONT, _RIGHT) <= radius)
    return solid


def table(generator: np.random.Generator) -> Solid:
    """A plate on four legs."""
    depth, width, height, plate, leg = generator.uniform(
        (0.2, 0.25, 0.35, 0.06, 0.08), (0.4, 0.4, 0.7, 0.1, 0.12)
    )
    top = _FLOOR + height
    return box((top - plate, top), (-depth, depth), (-width, width)) | _legs(
        top - plate, depth, width, leg
    )


def chair(generator: np.random.Generator) -> Solid:
    """A seat on four legs, with a back."""
    depth, width, height, back, plate, leg = generator.uniform(
        (0.18, 0.18, 0.25, 0.25, 0.07, 0.08), (0.3, 0.3, 0.42, 0.48, 0.11, 0.12)
    )
    top = _FLOOR + height
    seat = box((top - plate, top), (-depth, depth), (-width, width))
    rest = box((top, top + back), (-depth, -depth + plate), (-width, width))
    return seat | rest | _legs(top - plate, depth, width, leg)


def lamp(generator: np.random.Generator) -> Solid:
    """A foot, a pole and a shade, all round."""
    foot, pole, shade, height, plate, shade_height = generator.uniform(
        (0.12, 0.05, 0.15, 0.6, 0.06, 0.15), (0.25, 0.08, 0.38, 0.9, 0.12, 0.35)
    )
    top = _FLOOR + height
    return (
        cylinder((_FLOOR, _FLOOR + plate), foot)
        | cylinder((_FLOOR, top), pole)
        | cylinder((top - shade_height, top), shade)
    )


def cabinet(generator: np.random.Generator) -> Solid:
    """A closed block on four short legs."""
    depth, width, height, leg_height, leg = generator.uniform(
        (0.15, 0.2, 0.4, 0.08, 0.08), (0.3, 0.4, 0.85, 0.2, 0.12)
    )
    bottom = _FLOOR + leg_height
    block = box((bottom, _FLOOR + height), (-depth, depth), (-width, width))
    return block | _legs(bottom, depth, width, leg)


def sofa(generator: np.random.Generator) -> Solid:
    """A seat without legs, a back and two arms."""
    depth, width, height, arm, back, side = generator.uniform(
        (0.18, 0.28, 0.12, 0.06, 0.15, 0.08), (0.3, 0.42, 0.25, 0.15, 0.35, 0.14)
    )
    top = _FLOOR + height
    seat = box((_FLOOR, top), (-depth, depth), (-width, width))
    rest = box((top, top + back), (-depth, -depth + side), (-width, width))
    left, right = (-width, -width + side), (width - side, width)
    arms = (top, top + arm)
    return seat | rest | box(arms, (-depth, depth), left) | box(arms, (-depth, depth), right)


KINDS: tuple[Callable[[np.random.Generator], Solid], ...] = (table, chair, lamp, cabinet, sofa)


def solids(seed: int, count: int) -> Solid:
    """So many pieces of each kind, kind after kind, shape (5 * count, SIDE, SIDE, SIDE)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.stack([make(generator) for make in KINDS for _ in range(count)])


def _legs(top: float, depth: float, width: float, leg: float) -> Solid:
    outer = box((_FLOOR, top), (-depth, depth), (-width, width))
    between = box((_FLOOR, top), (leg - depth, depth - leg), (-width, width))
    across = box((_FLOOR, top), (-depth, depth), (leg - width, width - leg))
    return outer & ~between & ~across


def _within(coordinates: npt.NDArray[np.float64], limits: Range) -> Solid:
    inside: Solid = (coordinates >= limits[0]) & (coordinates <= limits[1])
    return inside
