"""Texts as letters' numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

LETTERS = "_ abcdefghijklmnopqrstuvwxyz'"
"""The first stands for none, as CTC's blank."""


def encode(texts: Iterable[str], length: int) -> npt.NDArray[np.int64]:
    """Numbers of texts' letters, shape (n, length), filled with 0."""
    rows = ([LETTERS.index(letter) for letter in text] for text in texts)
    return np.array([row + [0] * (length - len(row)) for row in rows], dtype=np.int64)


def decode(numbers: Iterable[int]) -> str:
    """The text of letters' numbers; blanks are left out."""
    return "".join(LETTERS[number] for number in numbers if number != 0)


def collapse(numbers: Sequence[int]) -> str:
    """The text of one number a step: repeated ones count once, then blanks go (Graves, 2006)."""
    return decode(number for number, _ in groupby(numbers))
