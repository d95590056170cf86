"""VGGFace2 to learn from, and the pairs of LFW to be told apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.components._folders import by_class, expect, fingerprint, lazy, needed, original
from benchmarks.components._images import SUFFIXES, middle
from benchmarks.components._photos import Pixels
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "vggface2_lfw"
SIDE = 182
PORTRAITS = 4


class Counts(NamedTuple):
    """How much there is to learn from, and how many pairs there are for the test."""

    people: int
    portraits: int
    pairs: int


COUNTS = Counts(people=8631, portraits=3_141_890, pairs=6000)


@original(NAME, "VGGFace2 and LFW")
def load(folder: Path, split: str, *, counts: Counts = COUNTS) -> Dataset:
    """Load 8631 people of VGGFace2 for training, or LFW's 6000 pairs for the test.

    A training sample is a person: four of the portraits, drawn from Python's ``random`` each time,
    bytes of shape (4, 3, 182, 182); its reference is the person's number. A test sample is a pair,
    (2, 3, 182, 182), its reference 1 if it is one person and else 0. The middle of a portrait is
    cut out with its shorter side at 182 pixels. All are read when they are asked for.

    Raises:
        UserError: People, portraits or pairs are missing, or there are more.
    """
    return _train(folder, counts) if split == "train" else _test(folder, counts)


def _train(folder: Path, counts: Counts) -> Dataset:
    place = folder / "vggface2"
    paths, numbers = by_class(place, *SUFFIXES)
    people = np.split(np.array(paths, object), np.flatnonzero(np.diff(numbers)) + 1)
    expect(len(people), counts.people, "people", place)
    expect(len(paths), counts.portraits, "portraits", place)
    return Dataset(
        name=NAME,
        split="train",
        samples=lazy([one.tolist() for one in people], _some_portraits, fingerprint(folder, paths)),
        references=np.arange(len(people)),
        licence="VGGFace2's terms: for non-commercial research only",
        source="VGGFace2, its training people (Cao et al., 2018)",
    )


def _test(folder: Path, counts: Counts) -> Dataset:
    listed = needed(folder / "pairs.txt")
    pairs = [_pair(folder, line) for line in listed.read_text(encoding="utf-8").splitlines()[1:]]
    expect(len(pairs), counts.pairs, "pairs", listed)
    paths = sorted({path for pair in pairs for path in pair})
    return Dataset(
        name=NAME,
        split="test",
        samples=lazy(pairs, _portraits, fingerprint(folder, [listed, *paths])),
        references=np.array([int(one.parent == other.parent) for one, other in pairs]),
        licence="not stated; for research",
        source="Labeled Faces in the Wild (Huang et al., 2007)",
    )


def _pair(folder: Path, line: str) -> tuple[Path, Path]:
    """The portraits in a line: a name and two numbers, or two names with a number each."""
    words = line.split("\t")
    if len(words) not in (3, 4):
        raise UserError(f"{folder / 'pairs.txt'} has a line {line!r}: put LFW's own file there")
    one, first, *other, second = words
    return _portrait(folder, one, first), _portrait(folder, (*other, one)[0], second)


def _portrait(folder: Path, name: str, number: str) -> Path:
    return needed(folder / "lfw" / name / f"{name}_{int(number):04}.jpg")


def _some_portraits(paths: Sequence[Path]) -> Pixels:
    return _portraits(random.choices(paths, k=PORTRAITS))


def _portraits(paths: Sequence[Path]) -> Pixels:
    return np.stack([middle(path, scaled=SIDE, side=SIDE) for path in paths])
