"""Images before and after compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from benchmarks.components._pictures import Picture, as_bytes, enlarged, sheet
from pytest_aibench.datasets import Dataset

IMAGES = 12
ENLARGED = 4


def pictures(test: Dataset, outputs: Sequence[npt.NDArray[Any]]) -> Picture:
    """Test images in the rows above, what arrives of them below."""
    shown = [*test.samples[:IMAGES], *outputs[:IMAGES]]
    return sheet(
        [enlarged(as_bytes(image.transpose(1, 2, 0)), ENLARGED) for image in shown], IMAGES
    )
