"""Photographs that ship inside packages."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.components._photos import PHOTOS, Photo, crops, photos, source
from pytest_aibench.errors import UserError


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_photographs_are_there(photo: Photo) -> None:
    pixels = photo.pixels()
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 300


def test_splits_share_no_photograph() -> None:
    train, test = (photos(split, ("coffee", "flower")) for split in ("train", "test"))
    assert len(train) + len(test) == len(PHOTOS)
    assert [pixels.shape for pixels in test] == [(400, 600, 3), (427, 640, 3)]
    assert not any(np.array_equal(one, other) for one in train for other in test)


def test_crops_are_parts_of_photographs() -> None:
    photo = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    cut = crops([photo], 40, 8, np.random.Generator(np.random.PCG64(0)))
    corners = {tuple(int(value) for value in crop[0, 0]) for crop in cut}
    places = [(row, column) for row in range(3) for column in range(3)]
    assert corners == {tuple(int(value) for value in photo[place]) for place in places}
    assert {crop.shape for crop in cut} == {(8, 8, 3)}


def test_a_package_that_is_absent_is_named() -> None:
    with pytest.raises(UserError, match="'nothing' needs no_such_package: pip install"):
        Photo("no_such_package", "nothing.png", "").pixels()


def test_source_names_versions() -> None:
    assert source().startswith("photographs of scikit-image 0.")
