"""Detections on the images they were found in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.components._pictures import Picture, enlarged, sheet
from pytest_aibench.datasets import Dataset

IMAGES = 24
LEAST_WIDTH = 192
SURE = 0.5


def pictures(test: Dataset, outputs: Sequence[npt.NDArray[Any]]) -> Picture:
    """The first 24 test images with a frame, a class and a score for each sure detection."""
    pairs = zip(test.samples[:IMAGES], outputs, strict=False)
    return sheet([_marked(image, found) for image, found in pairs], columns=8)


def _marked(image: npt.NDArray[np.uint8], found: npt.NDArray[Any]) -> Picture:
    from PIL import Image, ImageDraw

    times = -(-LEAST_WIDTH // image.shape[2])
    picture = Image.fromarray(enlarged(image.transpose(1, 2, 0), times))
    pen = ImageDraw.Draw(picture)
    for *box, label, score in found[found[:, 5] > SURE]:
        left, top, right, bottom = (times * float(edge) for edge in box)
        pen.rectangle((left, top, right - 1, bottom - 1), outline="yellow", width=1)
        pen.text(
            (left + 2, top),
            f"{label:.0f}: {score:.0%}",
            fill="yellow",
            stroke_width=1,
            stroke_fill="black",
        )
    return np.asarray(picture)
