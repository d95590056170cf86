"""The sample library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.datasets import Dataset
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.errors import UserError
from tests.lazy_files import in_files, reads

N_SAMPLES = 6

Step = tuple[bool, list[int]]


def dataset() -> Dataset:
    samples = np.arange(N_SAMPLES * 2).reshape(N_SAMPLES, 2)
    return Dataset("pairs", "test", samples, np.arange(N_SAMPLES), "CC0-1.0", "made here")


def test_all_samples_fit_by_default() -> None:
    library = SampleLibrary(dataset())
    assert (library.total_count, library.performance_count) == (N_SAMPLES, N_SAMPLES)
    assert SampleLibrary(dataset(), 2).performance_count == 2


@pytest.mark.parametrize("count", [0, -1, N_SAMPLES + 1])
def test_performance_count_must_fit_the_data_set(count: int) -> None:
    with pytest.raises(UserError) as error:
        SampleLibrary(dataset(), count)
    assert str(error.value) == (
        f"performance_count={count}: the data set 'pairs' has 6 samples, choose from 1 to as many"
    )


def test_loaded_sample_is_a_copy() -> None:
    data = dataset()
    library = SampleLibrary(data)
    library.load(np.array([4, 1]))
    np.testing.assert_array_equal(library[4], [8, 9])
    library[4][:] = -1
    np.testing.assert_array_equal(data.samples[4], [8, 9])
    assert library[4] is library[4]


def test_sample_that_is_not_loaded_is_refused() -> None:
    library = SampleLibrary(dataset())
    library.load([0])
    with pytest.raises(UserError) as error:
        library[3]
    assert str(error.value) == ("sample 3 of data set 'pairs' is not loaded: call load([3]) first")


@pytest.mark.parametrize("index", [-1, N_SAMPLES])
def test_sample_that_does_not_exist_is_refused(index: int) -> None:
    with pytest.raises(UserError) as error:
        SampleLibrary(dataset()).load([index])
    assert str(error.value) == (
        f"data set 'pairs' has no sample {index}: its 6 samples are numbered from 0"
    )


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, N_SAMPLES - 1)))))
def test_holds_exactly_what_was_loaded_last(steps: list[Step]) -> None:
    library = SampleLibrary(dataset())
    expected: set[int] = set()
    for is_load, indices in steps:
        if is_load:
            library.load(indices)
            expected |= set(indices)
        else:
            library.unload(indices)
            expected -= set(indices)
    assert {index for index in range(N_SAMPLES) if holds(library, index)} == expected


def holds(library: SampleLibrary, index: int) -> bool:
    try:
        sample = library[index]
    except UserError:
        return False
    return bool((sample == [2 * index, 2 * index + 1]).all())


def test_lazy_samples_are_made_when_they_are_loaded(tmp_path: Path) -> None:
    data = dataset()
    library = SampleLibrary(replace(data, samples=in_files(data.samples, tmp_path / "samples")))
    library.load([4, 1])
    np.testing.assert_array_equal(library.take([1, 4, 1]), data.samples[[1, 4, 1]])
    assert reads(tmp_path / "samples") == {1: 1, 4: 1}
