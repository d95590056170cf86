"""The bedrooms of LSUN, from a folder to which its databases were exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, fingerprint, lazy, nested, original
from benchmarks.components._images import SUFFIXES, middle
from pytest_aibench.datasets import Dataset

NAME = "lsun_bedrooms"
COUNTS = {"train": 3_033_042, "test": 300}
FOLDERS = {"train": "train", "test": "val"}
KINDS = (".webp", *SUFFIXES)
SIDE = 64
LATENTS = 100
SEEDS = {"train": 2, "test": 3}


@original(NAME, "LSUN's bedrooms")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load 3 033 042 training photographs, or the 300 of the validation set.

    Samples are standard normal vectors, float32 of shape (100,), references the photographs, in [0,
    1] and of shape (3, 64, 64): the middle, with the shorter side at 64 pixels. No vector belongs
    to its photograph: what is compared are the sets. Those for training are made and read when they
    are asked for, those for the test at once.

    Raises:
        UserError: Photographs are missing, or there are more.
    """
    place = folder / FOLDERS[split]
    names = nested(place, *KINDS)
    expect(len(names), counts[split], "photographs", place)
    photographs = lazy(names, _photograph, fingerprint(folder, map(_path, names)))
    seed = SEEDS[split]
    latents = lazy(range(len(names)), partial(_latents, seed), f"seed {seed}, {len(names)} vectors")
    in_test = split == "test"
    return Dataset(
        name=NAME,
        split=split,
        samples=np.stack(list(latents)) if in_test else latents,
        references=np.stack(list(photographs)) if in_test else photographs,
        licence="not stated; for research",
        source="LSUN, scenes: bedrooms (Yu et al., 2015)",
    )


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def _photograph(name: bytes) -> npt.NDArray[np.float32]:
    return np.divide(middle(_path(name), scaled=SIDE, side=SIDE), 255, dtype=np.float32)


def _latents(seed: int, number: int) -> npt.NDArray[np.float32]:
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    return rng.standard_normal(LATENTS, dtype=np.float32)
