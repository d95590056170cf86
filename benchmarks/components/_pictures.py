"""Sheets of pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

GAP = 2


def sheet(pictures: Sequence[Picture], columns: int) -> Picture:
    """Pictures (h, w, 3) of one size, row by row on white; there must be whole rows of them."""
    margins = ((0, 0), (0, GAP), (0, GAP), (0, 0))
    framed = np.pad(np.stack(pictures), margins, constant_values=255)
    _, height, width, colours = framed.shape
    rows = framed.reshape(-1, columns, height, width, colours).transpose(0, 2, 1, 3, 4)
    joined: Picture = rows.reshape(-1, columns * width, colours)
    return joined[:-GAP, :-GAP]


def as_bytes(values: npt.NDArray[np.floating]) -> Picture:
    """A picture of values in [0, 1], those beyond cut off, as bytes."""
    picture: Picture = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return picture


def enlarged(picture: Picture, times: int) -> Picture:
    """A picture (h, w, 3) with each pixel as a square of so many."""
    return picture.repeat(times, axis=0).repeat(times, axis=1)
