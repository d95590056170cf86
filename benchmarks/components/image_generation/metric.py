"""How near a set of generated images is to real ones, seen in small patches at several scales.

Random projections of whole images see little: noise with the right mean and deviation of every
pixel comes as near to real images as other real images do, almost. Patches hold what makes strokes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import MeanMetric, Scores, register

NAME = "patch_wasserstein"
PATCH = 7
PATCHES = 16
PROJECTIONS = 128

Images = npt.NDArray[np.float32]


def patch_distances(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
    """Each image's part in the sliced Wasserstein distance between patches of both sets.

    As in Karras et al. (2018, section 5): patches of 7 x 7 pixels at random places of an image,
    which is then halved until a patch hardly fits; each scale counts the same. Here scales are
    plain means, without the Laplacian pyramid, and pixels keep their values. The distance in a
    direction is the mean of what each patch has to move by; the images' parts have the distance
    of the sets as their mean.

    Args:
        outputs: Generated images of shape (colours, height, width) and values in [0, 1].
        references: As many real images.
    """
    drawn = np.stack([np.asarray(output, dtype=np.float32) for output in outputs])
    if drawn.shape != references.shape:
        raise UserError(
            f"{drawn.shape[1:]} is the shape of an output and {references.shape[1:]} that of a "
            "reference: return images as large as the references"
        )
    scales = [_moves(*pair) for pair in zip(_scales(drawn), _scales(references), strict=True)]
    parts: Scores = np.mean(scales, axis=0)
    return parts


def _scales(images: Images) -> list[Images]:
    """The images, and what they are when halved as long as patches fit."""
    scales = [images]
    while min(scales[-1].shape[2:]) >= 2 * PATCH:
        *others, height, width = scales[-1].shape
        quarters = scales[-1].reshape(*others, height // 2, 2, width // 2, 2)
        scales.append(quarters.mean(axis=(3, 5)))
    return scales


def _moves(drawn: Images, real: Images) -> Scores:
    """How far the patches of each drawn image are from real patches of the same rank."""
    values = drawn.shape[1] * PATCH**2
    directions = np.random.Generator(np.random.PCG64(1)).normal(size=(values, PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = (_patches(images) @ directions.astype(np.float32) for images in (drawn, real))
    order = np.argsort(ours, axis=0)
    gaps = np.abs(np.take_along_axis(ours, order, axis=0) - np.sort(theirs, axis=0))
    moves = np.empty_like(gaps)
    np.put_along_axis(moves, order, gaps, axis=0)
    distances: Scores = moves.reshape(len(drawn), -1).mean(axis=1, dtype=np.float64)
    return distances


def _patches(images: Images) -> Images:
    """Patches at random places, the same whatever the images: (n * patches, 49 * colours)."""
    rng = np.random.Generator(np.random.PCG64(0))
    n, colours, height, width = images.shape
    rows = rng.integers(height - PATCH + 1, size=(n, PATCHES))
    columns = rng.integers(width - PATCH + 1, size=(n, PATCHES))
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(2, 3))
    chosen: Images = windows[np.arange(n)[:, np.newaxis], :, rows, columns]
    return chosen.reshape(-1, colours * PATCH**2)


register(MeanMetric(name=NAME, measure=patch_distances, better="lower"))
