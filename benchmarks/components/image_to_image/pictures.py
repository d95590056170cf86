"""Photographs of streets beside their translations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.components._pictures import Picture, as_bytes, enlarged, sheet
from benchmarks.components.image_to_image.palette import PALETTE
from pytest_aibench.datasets import Dataset

SHOWN = 24
STREETS_IN_A_ROW = 4
TIMES = 3


def pictures(test: Dataset, outputs: Sequence[Any]) -> Picture:
    """24 streets, each as its photograph, its labels as translated, and its true labels."""
    shown: list[Picture] = []
    for photo, translated, true in zip(
        test.samples[:SHOWN], outputs[:SHOWN], test.references[:SHOWN], strict=True
    ):
        shown += [as_bytes(np.moveaxis(photo, 0, -1)), PALETTE[translated], PALETTE[true]]
    return sheet([enlarged(picture, TIMES) for picture in shown], 3 * STREETS_IN_A_ROW)
