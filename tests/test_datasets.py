"""The registry of data sets, and the digits."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytest_aibench import datasets
from pytest_aibench.datasets import Dataset, base, digits
from pytest_aibench.errors import UserError
from tests.lazy_files import Files, in_files, reads

FINGERPRINTS = {
    "train": "d577857e7d97ab8b5304ab5ab4f2a85dff1ff844fb56ce53e8aaac9bb9cc0e97",
    "test": "e0692f1f0d524d71757e0d0442bb89c9b3c2d6aa473df134bbe09f07d9b2a99b",
}


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", {"digits": base._LOADERS["digits"]})


def one_sample(split: str) -> Dataset:
    return Dataset("one", split, np.zeros((1, 2)), np.zeros(1), "CC0-1.0", "made here")


@pytest.mark.parametrize(("split", "n_samples"), [("train", 1438), ("test", 359)])
def test_digits_are_the_same_everywhere(split: str, n_samples: int) -> None:
    data = datasets.get("digits", split)
    assert data.fingerprint == FINGERPRINTS[split]
    assert len(data) == n_samples
    assert data.samples.shape == (n_samples, 1, 8, 8)
    assert data.samples.dtype == np.float32
    assert (data.samples.min(), data.samples.max()) == (0, 1)
    assert data.references.dtype == np.int64
    assert data.licence == "CC-BY-4.0"
    assert re.search(r"scikit-learn \d+\.\d+.*doi:10\.24432/C50P49", data.source)


def test_digits_splits_share_no_scan_and_leave_none_out() -> None:
    scans = [
        sample.tobytes()
        for split in ("train", "test")
        for sample in datasets.get("digits", split).samples
    ]
    assert len(scans) == len(set(scans)) == 1797


def test_digits_test_split_has_a_fifth_of_every_class() -> None:
    train, test = (
        np.bincount(datasets.get("digits", split).references) for split in ("train", "test")
    )
    np.testing.assert_array_equal(test, [round(n / 5) for n in train + test])


@given(
    classes=hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 4)),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64),
)
def test_split_is_stratified_and_repeatable(
    classes: np.ndarray[tuple[int], np.dtype[np.int64]], share: float, seed: int
) -> None:
    mask = digits.stratified_test_mask(classes, share, seed)
    for label in set(classes.tolist()):
        of_class = classes == label
        assert (mask & of_class).sum() == round(share * int(of_class.sum()))
    np.testing.assert_array_equal(mask, digits.stratified_test_mask(classes, share, seed))


def test_split_depends_on_the_seed() -> None:
    classes = np.zeros(100)
    assert (
        digits.stratified_test_mask(classes, 0.5, 1) != digits.stratified_test_mask(classes, 0.5, 2)
    ).any()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError) as error:
        digits.load("test")
    assert str(error.value) == (
        "the data set 'digits' needs scikit-learn: pip install 'pytest-aibench[suite]'"
    )


@pytest.mark.usefixtures("own_registry")
def test_unknown_name_lists_those_there_are() -> None:
    datasets.register("one")(one_sample)
    with pytest.raises(UserError) as error:
        datasets.get("digit")
    assert str(error.value) == (
        "unknown data set 'digit': use one of digits, one, or register your own"
    )


def test_unknown_split_lists_those_there_are() -> None:
    with pytest.raises(UserError) as error:
        datasets.get("digits", "validation")
    assert str(error.value) == "unknown split 'validation' of data set 'digits': use train or test"


@pytest.mark.usefixtures("own_registry")
def test_own_data_set_is_loaded_once_a_split() -> None:
    asked: list[str] = []

    @datasets.register("one")
    def load(split: str) -> Dataset:
        asked.append(split)
        return one_sample(split)

    first = datasets.get("one", "train")
    assert datasets.get("one", "train") is first
    assert datasets.get("one").split == "test"
    assert asked == ["train", "test"]


@pytest.mark.usefixtures("own_registry")
def test_later_registration_takes_the_name() -> None:
    datasets.register("digits")(one_sample)
    assert datasets.get("digits").name == "one"


def test_lazy_samples_count_by_their_fingerprint(tmp_path: Path) -> None:
    arrays = np.arange(4), np.arange(4)
    lazy = in_files(arrays[0], tmp_path / "samples")
    data = Dataset("d", "test", lazy, arrays[1], "", "")
    others = [
        replace(data, samples=cast("npt.NDArray[Any]", Files(tmp_path, 4, "other files"))),
        replace(data, references=arrays[1] + 1),
        replace(data, samples=arrays[0]),
    ]
    assert len({each.fingerprint for each in (data, *others)}) == 4
    assert replace(data, source="elsewhere").fingerprint == data.fingerprint
    assert not reads(tmp_path / "samples")
