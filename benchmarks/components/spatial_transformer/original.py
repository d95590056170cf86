"""MNIST as its authors publish it: four files of numbers."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, needed, original
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "mnist"
COUNTS = {"train": 60_000, "test": 10_000}
BEGINNINGS = {"train": "train", "test": "t10k"}

MEAN, DEVIATION = 0.1307, 0.3081
"""Of the training pixels in [0, 1]."""


@original(NAME, "MNIST")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load 60 000 training or 10 000 test scans.

    Samples are float32 of shape (n, 1, 28, 28) with the training pixels' mean at 0 and their
    deviation at 1, references int64 classes of shape (n,).

    Raises:
        UserError: A file is missing, is not what its name says, or has not as many scans.
    """
    images = _numbers(folder / f"{BEGINNINGS[split]}-images-idx3-ubyte")
    classes = _numbers(folder / f"{BEGINNINGS[split]}-labels-idx1-ubyte")
    expect(len(images), counts[split], f"{split} scans", folder)
    expect(len(classes), counts[split], f"{split} labels", folder)
    return Dataset(
        name=NAME,
        split=split,
        samples=((images[:, np.newaxis] / np.float32(255) - MEAN) / DEVIATION).astype(np.float32),
        references=classes.astype(np.int64),
        licence="CC-BY-SA-3.0",
        source="MNIST (LeCun, Cortes and Burges, 1998)",
    )


def _numbers(path: Path) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of bytes, packed or not.

    Two zeros, the type, the number of axes, then the length of each as four bytes, then the bytes.
    """
    packed = path.with_name(f"{path.name}.gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else needed(path).read_bytes()
    begin = 4 + 4 * int.from_bytes(content[3:4], "big")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, begin, 4)]
    if content[:3] != b"\0\0\x08" or len(content) - begin != math.prod(shape):
        raise UserError(f"{path} is no IDX file of bytes, or not all of it: put it there again")
    numbers: npt.NDArray[np.uint8] = np.frombuffer(content, np.uint8, offset=begin).reshape(shape)
    return numbers
