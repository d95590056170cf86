"""Photographs of generated furniture, and its silhouettes or its voxels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.components.reconstruction_3d.cameras import VIEWS, photographs
from benchmarks.components.reconstruction_3d.shapes import Solid, solids
from pytest_aibench.datasets import Dataset, cached_arrays, register

NAME = "generated_furniture"

_SEEDS = {"train": 13, "test": 1013}
_COUNTS = {"train": 200, "test": 40}


@register(NAME)
def load(split: str) -> Dataset:
    """Load 1000 solids for training, or photographs of 200 others for the test.

    A training sample is all eight photographs of a solid, (8, 1, 32, 32), and its reference the
    eight silhouettes, (8, 32, 32): nothing tells what the solid is. A test sample is one of the
    photographs, (1, 32, 32), from each camera equally often, and its reference the boolean voxels,
    (24, 24, 24). Images are float32 in [0, 1]. One fifth each are tables, chairs, lamps, cabinets
    and sofas; `shapes` tells their proportions.
    """
    photos, silhouettes = _photographs(split)
    samples = photos[:, :, np.newaxis].astype(np.float32) / 255
    in_test = split == "test"
    one_each = np.arange(len(samples)), np.arange(len(samples)) % VIEWS
    return Dataset(
        name=NAME,
        split=split,
        samples=samples[one_each] if in_test else samples,
        references=voxels(split) if in_test else (silhouettes / 255).astype(np.float32),
        licence="Apache-2.0",
        source=f"generated with seed {_SEEDS[split]}",
    )


def voxels(split: str) -> Solid:
    """The solids themselves, boolean of shape (n, 24, 24, 24); training never sees them."""
    return solids(_SEEDS[split], _COUNTS[split])


def _photographs(split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    def make() -> dict[str, npt.NDArray[np.uint8]]:
        photos, silhouettes = photographs(voxels(split))
        return {"photos": photos, "silhouettes": silhouettes}

    arrays = cached_arrays(f"furniture-{split}", make)
    return arrays["photos"], arrays["silhouettes"]
