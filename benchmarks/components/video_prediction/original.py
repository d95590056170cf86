"""Films of a robot's arm that pushes things, exported from the records they are published in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, files, fingerprint, lazy, original, stored
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "robot_pushing"
COUNTS: Mapping[str, int] = {"test": 1500}
"""How many films there are to learn from, the paper says in thousands only: 57."""

CONTEXT, PREDICTED = 2, 8
PIXELS = 64
STATE = ACTION = 5

_LENGTH = CONTEXT + PREDICTED
_FRAME = (3, PIXELS, PIXELS)
SAMPLE = np.dtype(
    [
        ("frames", np.uint8, (CONTEXT, *_FRAME)),
        ("state", np.float32, STATE),
        ("actions", np.float32, (_LENGTH - 1, ACTION)),
    ]
)
FOLLOWING = np.dtype(
    [
        ("frames", np.uint8, (PREDICTED, *_FRAME)),
        ("states", np.float32, (PREDICTED, STATE)),
    ]
)


@original(NAME, "robot pushing, exported to npz files")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load the films to learn from, or the 1500 with objects that are in none of those.

    A sample is a record, read when it is asked for: the first two ``frames``, bytes of shape
    (2, 3, 64, 64), the arm's ``state`` at first, (5,), and the ``actions``, (9, 5), each of which
    leads to the next frame. Its reference is a record of the eight ``frames`` that follow and the
    arm's ``states`` then, for training; for the test those frames alone.

    Raises:
        UserError: Films are missing, or one has other arrays than it should.
    """
    place = folder / split
    paths = files(place, ".npz")
    expect(len(paths), counts.get(split, len(paths) or 1), "films", place)
    digest = fingerprint(folder, paths)
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(paths, _beginning, digest),
        references=(
            lazy(paths, _following, digest)
            if split == "train"
            else np.stack([_following(path)["frames"] for path in paths])
        ),
        licence="CC-BY-4.0",
        source="robot pushing (Finn, Goodfellow and Levine, 2016)",
    )


def _beginning(path: Path) -> npt.NDArray[np.void]:
    film = _film(path)
    sample = np.empty((), SAMPLE)
    sample["frames"] = film["frames"][:CONTEXT]
    sample["state"] = film["states"][0]
    sample["actions"] = film["actions"][: _LENGTH - 1]
    return sample


def _following(path: Path) -> npt.NDArray[np.void]:
    film = _film(path)
    reference = np.empty((), FOLLOWING)
    reference["frames"] = film["frames"][CONTEXT:_LENGTH]
    reference["states"] = film["states"][CONTEXT:_LENGTH]
    return reference


def _film(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Frames with colours first, states and actions."""
    shapes = {"frames": (PIXELS, PIXELS, 3), "states": (STATE,), "actions": (ACTION,)}
    film = stored(path, shapes)
    for name, shape in shapes.items():
        if name not in film or film[name].shape[1:] != shape or len(film[name]) < _LENGTH:
            raise UserError(
                f"{path} has no array {name!r} of shape (t, {', '.join(map(str, shape))}) with t "
                f"of {_LENGTH} or more: export it as docs/original-data.md describes"
            )
    return {**film, "frames": film["frames"].transpose(0, 3, 1, 2)}
