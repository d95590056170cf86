"""Portraits in colour and depth from a folder; those that AIBench had are no longer to be had."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.components._folders import (
    by_class,
    expect,
    fingerprint,
    lazy,
    needed,
    original,
)
from benchmarks.components._images import depth, picture, resized
from benchmarks.components._photos import Pixels
from pytest_aibench.datasets import Dataset

NAME = "rgbd_faces"
SIDE = 224
COLOUR, DEPTH = "_colour.png", "_depth.png"


class Counts(NamedTuple):
    """How much there is in both parts together."""

    people: int
    portraits: int


COUNTS = Counts(people=253, portraits=77_715)


@original(NAME, "portraits in colour and depth")
def load(folder: Path, split: str, *, counts: Counts = COUNTS) -> Dataset:
    """Load the portraits of one part; both together must be as many as AIBench's.

    Samples are bytes of shape (4, 224, 224): colour and depth, scaled; they are read when they are
    asked for. References are the ranks of the people's folders by name, int64 of shape (n,).

    Raises:
        UserError: People, portraits or their depth are missing, or there are more.
    """
    portraits = {part: _portraits(folder / part) for part in ("train", "test")}
    for part, (_, numbers) in portraits.items():
        expect(len(set(numbers)), counts.people, "people", folder / part)
    expect(
        sum(len(paths) for paths, _ in portraits.values()), counts.portraits, "portraits", folder
    )
    paths, numbers = portraits[split]
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(paths, _read, fingerprint(folder, paths)),
        references=np.array(numbers),
        licence="yours",
        source="portraits in colour and depth from a mounted folder",
    )


def _portraits(place: Path) -> tuple[list[Path], list[int]]:
    """The pictures in colour, and whose they are."""
    paths, numbers = by_class(place, ".png")
    pairs = zip(paths, numbers.tolist(), strict=True)
    chosen = [(path, number) for path, number in pairs if path.name.endswith(COLOUR)]
    for path, _ in chosen:
        needed(_depth_of(path))
    return [path for path, _ in chosen], [number for _, number in chosen]


def _depth_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(COLOUR) + DEPTH)


def _read(path: Path) -> Pixels:
    layers = (picture(path), depth(_depth_of(path)))
    scaled = [resized(layer, SIDE, SIDE).reshape(SIDE, SIDE, -1) for layer in layers]
    return np.ascontiguousarray(np.concatenate(scaled, axis=-1).transpose(2, 0, 1))
