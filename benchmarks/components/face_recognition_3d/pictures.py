"""Portraits beside the people they were taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.components._heads.rendering import Floats
from benchmarks.components._pictures import Picture, as_bytes, sheet
from pytest_aibench.datasets import Dataset

SHOWN = 24


def pictures(test: Dataset, outputs: Sequence[Floats]) -> Picture:
    """Of 24 test portraits intensity, nearness, and a portrait of the person that was seen."""
    shown = np.linspace(0, len(test) - 1, SHOWN).astype(int)
    images: list[Floats] = []
    for sample in shown:
        seen = np.flatnonzero(test.references == outputs[sample].argmax())[0]
        images += [*test.samples[sample], test.samples[seen, 0]]
    return sheet([as_bytes(np.stack([image] * 3, axis=-1)) for image in images], columns=12)
