"""Films of an effector that pushes discs about a table, simulated in two dimensions.

Lengths are in widths of the table, which is the unit square; coordinates are down and right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PIXELS = 24
EFFECTOR_RADIUS = 0.07

_DISCS = 3
_TABLE_SHADE, _EFFECTOR_SHADE = 0.1, 1.0
_SETTLING_ROUNDS = 8


class Films(NamedTuple):
    """Films and what the effector was told to do.

    Attributes:
        frames: Brightness in [0, 1], shape (n, length, PIXELS, PIXELS).
        actions: Movement of the effector from each frame to the next in pixels, shape
            (n, length - 1, 2).
    """

    frames: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]


def film(seed: int, n: int, length: int) -> Films:
    """Simulate and film so many scenes.

    Each has three discs, of radius 0.09 to 0.15 and of shades 0.3 to 0.8, anywhere. The effector,
    which is drawn in white, moves 0.04 to 0.09 a frame towards one of the discs, up to 30 degrees
    off and a little shaken, so that mostly it comes to push it.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    radii = generator.uniform(0.09, 0.15, (n, _DISCS))
    shades = generator.uniform(0.3, 0.8, (n, _DISCS))
    effector = generator.uniform(0.1, 0.9, (n, 2))
    discs = settled(generator.uniform(0.15, 0.85, (n, _DISCS, 2)), radii, effector)
    course = _course(generator, discs[:, 0] - effector)
    frames, actions = [_drawn(discs, radii, shades, effector)], []
    for _ in range(length - 1):
        shaken = course + generator.normal(0, 0.01, course.shape)
        moved = np.clip(effector + shaken, EFFECTOR_RADIUS, 1 - EFFECTOR_RADIUS)
        actions.append((moved - effector) * PIXELS)
        effector = moved
        discs = settled(discs, radii, effector)
        frames.append(_drawn(discs, radii, shades, effector))
    return Films(
        np.stack(frames, axis=1).astype(np.float32), np.stack(actions, axis=1).astype(np.float32)
    )


def _course(generator: np.random.Generator, towards: Floats) -> Floats:
    """Steps (n, 2) along these directions, up to 30 degrees off."""
    angle = np.arctan2(towards[:, 1], towards[:, 0]) + generator.uniform(-0.5, 0.5, len(towards))
    steps = generator.uniform(0.04, 0.09, len(towards))
    course: Floats = steps[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return course


def settled(discs: Floats, radii: Floats, effector: Floats) -> Floats:
    """Where the discs come to rest: quasi-statically, each moves only as far as it is pushed.

    Whoever overlaps is moved apart along the line of the centres: a disc gives way to the effector,
    two discs share the way, and the table's border holds them. That is done for all in turn, as
    often as it takes to spread.

    Args:
        discs: Their centres, shape (n, discs, 2).
        radii: Shape (n, discs).
        effector: Its centre, shape (n, 2).
    """
    discs = discs.copy()
    for _ in range(_SETTLING_ROUNDS):
        for disc in range(_DISCS):
            reach = radii[:, disc] + EFFECTOR_RADIUS
            discs[:, disc] += _parting(discs[:, disc], effector, reach)
        for disc in range(_DISCS):
            for other in range(disc):
                reach = radii[:, disc] + radii[:, other]
                apart = _parting(discs[:, disc], discs[:, other], reach) / 2
                discs[:, disc] += apart
                discs[:, other] -= apart
        discs = np.clip(discs, radii[..., np.newaxis], 1 - radii[..., np.newaxis])
    return discs


def _parting(one: Floats, other: Floats, reach: Floats) -> Floats:
    """How far one (n, 2) must move for its centre to be at least `reach` from the other's."""
    between = one - other
    distance = np.maximum(np.linalg.norm(between, axis=1), 1e-9)
    parting: Floats = between * (np.maximum(reach - distance, 0) / distance)[:, np.newaxis]
    return parting


def _drawn(discs: Floats, radii: Floats, shades: Floats, effector: Floats) -> Floats:
    """Frames (n, PIXELS, PIXELS) with smooth edges, the effector on top."""
    frames = np.full((len(discs), PIXELS, PIXELS), _TABLE_SHADE)
    for disc in range(_DISCS):
        frames = _painted(frames, discs[:, disc], radii[:, disc], shades[:, disc])
    same = np.ones(len(discs))
    return _painted(frames, effector, EFFECTOR_RADIUS * same, _EFFECTOR_SHADE * same)


def _painted(frames: Floats, centres: Floats, radii: Floats, shades: Floats) -> Floats:
    pixels = (np.arange(PIXELS) + 0.5) / PIXELS
    down = pixels[:, np.newaxis] - centres[:, 0, np.newaxis, np.newaxis]
    right = pixels - centres[:, 1, np.newaxis, np.newaxis]
    inside = (radii[:, np.newaxis, np.newaxis] - np.hypot(down, right)) * PIXELS
    cover = np.clip(inside + 0.5, 0, 1)
    painted: Floats = frames + cover * (shades[:, np.newaxis, np.newaxis] - frames)
    return painted
