"""Portraits beside those that lie nearest to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.components._heads.rendering import Floats
from benchmarks.components._pictures import Picture, as_bytes, sheet
from pytest_aibench.datasets import Dataset

SHOWN = 10
NEAREST = 7


def pictures(test: Dataset, outputs: Sequence[Floats]) -> Picture:
    """Ten test portraits, each followed by the seven nearest, which should be the same person."""
    embeddings = np.stack(outputs)
    shown = np.linspace(0, len(test) - 1, SHOWN).astype(int)
    distances = np.linalg.norm(embeddings[shown, np.newaxis] - embeddings, axis=-1)
    distances[np.arange(SHOWN), shown] = -1  # a portrait comes before its neighbours
    chosen = distances.argsort(axis=1)[:, : NEAREST + 1].ravel()
    images = [as_bytes(np.stack([test.samples[one, 0]] * 3, axis=-1)) for one in chosen]
    return sheet(images, columns=NEAREST + 1)
