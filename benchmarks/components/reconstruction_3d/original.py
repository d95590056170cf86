"""Chairs of ShapeNet, rendered and made of voxels, from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import Lazy, expect, files, fingerprint, lazy, original, stored
from benchmarks.components.reconstruction_3d.cameras import Ring
from benchmarks.components.reconstruction_3d.shapes import Solid
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "shapenet_chairs"
CHAIRS = 6778
PARTS = ("train", "val", "test")
SIDE = 32
PIXELS = 64
RING = Ring(views=24, pixels=32, distance=1.732, near=0.866, far=2.598, half_width=1.1)
"""Of the silhouettes; photographs are of the same cameras, with twice as many pixels each way."""

Bytes = npt.NDArray[np.uint8]
Item = tuple[Path, int]


class _Array(NamedTuple):
    name: str
    shape: tuple[int, ...]


_PHOTOGRAPHS = _Array("photographs", (RING.views, PIXELS, PIXELS, 3))
_SILHOUETTES = _Array("silhouettes", (RING.views, RING.pixels, RING.pixels))
_VOXELS = _Array("voxels", (SIDE, SIDE, SIDE))


@original(NAME, "ShapeNet's chairs, rendered")
def load(folder: Path, split: str, *, chairs: int = CHAIRS) -> Dataset:
    """Load the chairs for training, or a photograph of each of those for the test.

    A training sample is all photographs of a chair, bytes of shape (24, 3, 64, 64), and its
    reference the silhouettes, bytes (24, 32, 32), 255 where the chair is. A test sample is one of
    the photographs, (3, 64, 64), from each camera equally often, and its reference the boolean
    voxels, (32, 32, 32). All but the latter are read when they are asked for.

    Raises:
        UserError: There are not 6778 chairs in all parts together, or one has other arrays.
    """
    parts = {part: files(folder / part, ".npz") for part in PARTS}
    expect(sum(map(len, parts.values())), chairs, "chairs", folder)
    paths = parts[split]
    digest = fingerprint(folder, paths)
    in_test = split == "test"
    one_each = [(path, number % RING.views) for number, path in enumerate(paths)]
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(one_each, _photograph, digest) if in_test else lazy(paths, _photos, digest),
        references=voxels(paths) if in_test else lazy(paths, _silhouettes, digest),
        licence="ShapeNet's terms: for non-commercial research and education only",
        source="ShapeNetCore (Chang et al., 2015), chairs",
    )


def voxels(paths: list[Path]) -> Solid:
    """The chairs themselves, boolean of shape (n, 32, 32, 32); training never sees them."""
    return np.stack([_array(path, _VOXELS) > 0 for path in paths])


def paths_of(train: Dataset) -> list[Path]:
    """The files of the training chairs."""
    return list(cast("Lazy", train.samples).items)


def _photos(path: Path) -> Bytes:
    return np.ascontiguousarray(_array(path, _PHOTOGRAPHS).transpose(0, 3, 1, 2))


def _photograph(item: Item) -> Bytes:
    path, view = item
    photograph: Bytes = _photos(path)[view]
    return photograph


def _silhouettes(path: Path) -> Bytes:
    return _array(path, _SILHOUETTES)


def _array(path: Path, wanted: _Array) -> npt.NDArray[Any]:
    array = stored(path, [wanted.name]).get(wanted.name, np.empty(0))
    if array.shape != wanted.shape:
        shape = ", ".join(map(str, wanted.shape))
        raise UserError(
            f"{path} has no array {wanted.name!r} of shape ({shape}): export it as "
            "docs/original-data.md describes"
        )
    return array
