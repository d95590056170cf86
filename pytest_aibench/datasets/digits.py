"""Handwritten digits: 1797 real scans of 8 x 8 pixels, which ship inside scikit-learn."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError

SPLIT_SEED = 20
TEST_SHARE = 0.2


def load(split: str) -> Dataset:
    """Load 1438 training or 359 test images.

    Samples are float32 in [0, 1] of shape (n, 1, 8, 8), references int64 classes of shape (n,).
    The data are the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin
    and Kaynak, 1998), 13 writers. They come without the writers' names, so both splits hold the
    same writers: the test split measures new scans, not new hands.

    Raises:
        UserError: scikit-learn is not installed.
    """
    images, classes = _scans()
    in_test = stratified_test_mask(classes, TEST_SHARE, SPLIT_SEED)
    chosen = in_test if split == "test" else ~in_test
    return Dataset(
        name="digits",
        split=split,
        samples=(images[chosen, np.newaxis] / 16).astype(np.float32),
        references=classes[chosen].astype(np.int64),
        licence="CC-BY-4.0",
        source=f"scikit-learn {version('scikit-learn')}, sklearn.datasets.load_digits "
        "(UCI Optical Recognition of Handwritten Digits, doi:10.24432/C50P49)",
    )


def stratified_test_mask(
    classes: npt.NDArray[Any], share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose the same share of every class for the test split: shape (n,), true for test.

    Only raw PCG64 words are used: numpy keeps that stream the same in all versions, which it does
    not promise of its shuffles. In each class the samples with the smallest words are taken.
    """
    words = np.random.PCG64(seed).random_raw(len(classes))
    mask = np.zeros(len(classes), dtype=np.bool_)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        by_word = members[np.argsort(words[members])]
        mask[by_word[: round(share * len(members))]] = True
    return mask


def _scans() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise UserError(
            "the data set 'digits' needs scikit-learn: pip install 'pytest-aibench[suite]'"
        ) from None
    bunch = load_digits()
    return bunch.images, bunch.target
