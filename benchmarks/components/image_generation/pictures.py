"""Drawn images beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.components._pictures import Picture, as_bytes, sheet
from pytest_aibench.datasets import Dataset

SIDE = 8


def pictures(test: Dataset, outputs: Sequence[Any]) -> Picture:
    """64 generated images on the left, 64 real ones on the right."""
    squares = [
        sheet([_colours(image) for image in images[: SIDE**2]], SIDE)
        for images in (outputs, test.references)
    ]
    return sheet(squares, len(squares))


def _colours(image: Any) -> Picture:
    """An image (3, h, w), or a grey one (1, h, w), as a picture (h, w, 3)."""
    return as_bytes(np.broadcast_to(np.moveaxis(image, 0, -1), (*image.shape[1:], 3)))
